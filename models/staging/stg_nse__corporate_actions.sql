{#- A subject is read by patterns that match a whole part, from its first to its last character. A
    part consists of text without digits, and the numbers that its kind needs. A part with anything
    else ("Rs 62..50", "1:1:1", "Rs 2 To Rs 3") matches no pattern, and its numbers stay null. -#}
{%- set number = '(?:(?:[1-9][0-9]+|0?[0-9])(?:[.][0-9]+)?|[.][0-9]+)' -%}
{%- set count = '[1-9][0-9]*' -%}
{#- ½ and ५ are numbers too. -#}
{%- set text = '[^0-9²³¹¼-¾⅐-⅞०-९₹$%?:]*' -%}
{%- set month = (
    '(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?'
    '|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)'
) -%}
{%- set year = '(?:19|20)?[0-9]{2}' -%}
{%- set period = (
    '(?:[0-9]{1,2}[./-][0-9]{1,2}[./-]' ~ year
    ~ '|(?:[0-9]{1,2}(?:st|nd|rd|th)?[ -])?' ~ month ~ '[ ,.-]*(?:[0-9]{1,2}(?:st|nd|rd|th)?[ ,-]+)?' ~ year
    ~ "|(?:f[.]?y[.]?|year|[qh][1-4])[ '.-]*" ~ year ~ '(?: ?[/-] ?' ~ year ~ ')?'
    ~ '|(?:19|20)[0-9]{2}(?: ?[/-] ?' ~ year ~ ')?'
    ~ '|[qh][1-4])'
) -%}
{%- set remark = (
    '(?:purpose )?(?:re ?-? ?)?(?:revised|revision|corrigendum|corrected|rectified|amended|amendment)'
) -%}
{%- set split_word = '(?:splt|spilt|splits?|splitting|sub ?-? ?div[a-z]*)' -%}
{%- set spellings = {
    'one': '1', 'two': '2', 'three': '3', 'four': '4', 'five': '5', 'six': '6', 'seven': '7', 'eight': '8',
    'nine': '9', 'ten': '10', 'twenty': '20', 'hundred': '100',
    '1st': 'first', '2nd': 'second', '3rd': 'third', '4th': 'fourth',
    split_word ~ '(?: ?[/&] ?' ~ split_word ~ ')?': 'split',
    'fv': 'face value',
    'frm': 'from',
    'rights? ?(?:and|[&/]) ?bonus': 'rights bonus',
} -%}
{%- set respelling = namespace(sql='plain_subject') -%}
{%- for pattern, word in spellings.items() -%}
    {%- set respelling.sql = (
        'regexp_replace(' ~ respelling.sql ~ ", r'\\b(?:" ~ pattern ~ ")\\b', '" ~ word ~ "')"
    ) -%}
{%- endfor -%}
{%- set uncounted = (
    'eleven|twelve|[a-z]+teen|thirty|forty|fifty|sixty|seventy|eighty|ninety|thousand|lakhs?|lacs?|crores?'
    '|million|half|paise|paisa'
) -%}
{%- set terms = (
    '(?:bonus|issue|stock|equity|eq|ordinary|shares?|shr?|split|spl|consolidation|face|value|ratio|proportion'
    '|change|purpose|fully|paid|up|new|existing|held|every|each|per|the|of|in|at|from|annual general meeting|agm|[ .,@-])*'
) -%}
{%- set no_equity = (
    'debenture|deb(?:s|[0-9]|\\b)|pref|warrant|dvr|bonds?\\b|[a-z]*cds?\\b|[a-z]{0,4}[cr]ps'
) -%}
{%- set beside = text ~ '(?:' ~ number ~ ' ?%' ~ text ~ ')?' -%}
{%- set joiner = terms ~ '(?::|for)' ~ terms -%}
{%- set changer = terms ~ '(?:in)?to' ~ terms -%}
{%- set price = '₹?' ~ number -%}
{%- set inner = '[^()\\[\\]]*' -%}
{%- set rupees = '(?:\\b(?:rs|re|inr)|₹)[.]? ?[.]?[0-9]' -%}
{%- set breakdown = (
    '(' ~ rupees ~ inner ~ ')[(\\[](' ~ inner ~ '\\b(?:int|fin|spe|spl\\b|div)' ~ inner ~ rupees ~ ')'
) -%}
{%- set before_bracket = '^[^(\\[]*\\b' -%}
{%- set read_price = '₹?(' ~ number ~ ')' -%}
{%- set openers = (
    'spe|spl|int[ de]|fin|div|bonus|face value split|stock split|split|consol|right|demerg|buy|capital'
    '|annual|agm|first|second|third|fourth'
) -%}
{%- set continuation = (
    '^(?:special|spl|interim|final|fin)\\b(?: ?\\b(?:special|spl|interim|final|fin|and|of|for|the|year|per|share)\\b|[ .,@-])*(?:[₹0-9]|$)'
    '|^(?:first|second|third|fourth)$'
) -%}
{%- set dividend_name = (
    '(?:special|specia|spl|interim|int|intdiv[a-z]*|final|fin|(?:first|second|third|fourth) (?:interim|int|div[a-z]*))\\b'
) -%}
{%- set face_value_remark = (
    '\\b(?:(?:of|on|having|at) )*face value(?: of)? ?' ~ price ~ '(?: each)?|\\bof ₹' ~ number ~ ' each'
) -%}
{%- set no_dividend = (
    no_equity ~ '|cancel|withdr|postpone|defer|no[tn]?\\b|nil\\b|usd\\b|dollar|inclu|compris|consist|already|total'
    '|aggregat|of which|interest|up ?to\\b|between|approx|minimum|maximum|partly|propor|pro ?-? ?rata|[ag]d[rs]s?\\b'
) -%}
with

source as (

    select * from {{ source('raw', 'nse_corporate_actions') }}

),

lowered as (

    select
        *,
        regexp_replace(
            regexp_replace(lower(coalesce(subject, '')), r'\p{Pd}', '-'),
            r'\b(?:first|1st) ?(?:and|[&/]) ?final div',
            'final div'
        ) as lower_subject
    from source

),

-- Subjects are typed by hand, with many spellings. Brackets contain remarks. In "Rs 10 (Final Rs 4
-- + Special Rs 6)", they contain the parts of the amount before them, which would count twice. In
-- "Split From Rs 10 To Rs 2 (Interim Dividend Rs 3)", they contain an action of their own.
spaced as (

    select
        * except (lower_subject),
        regexp_replace(trim(subject), r'\s+', ' ') as spaced_subject,
        regexp_replace(
            if(
                regexp_contains(
                    lower_subject, r'{{ before_bracket }}(?:split|sub|bonus|right|buy|consol)'
                )
                and not regexp_contains(
                    lower_subject, r'{{ before_bracket }}(?:div|final|interim|special)'
                ),
                lower_subject,
                regexp_replace(lower_subject, r'{{ breakdown }}', r'\1 ? \2')
            ),
            r'[\s\pZ()\[\]]+',
            ' '
        ) as plain_subject
    from lowered

),

respelled as (

    select
        *,
        {{ respelling.sql }} as spelling
    from spaced

),

-- Each amount of rupees gets one sign. "Rs.0125" may mean Rs 0.0125, and "Re.50" Rs 0.50: a number
-- that cannot be read for certain is replaced by a question mark.
priced as (

    select
        *,
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    spelling,
                    r'\b(?:rs|inr)\.(?:0[0-9]|\.)|\bre\.(?:[2-9]|[0-9]{2}|\.)',
                    ' ?'
                ),
                r'(?:\b(?:rs|re|inr|rupees?)|₹)\.? ?(\.?[0-9])',
                r'₹\1'
            ),
            r'([0-9]),([0-9]{3})\b',
            r'\1\2'
        ) as priced_spelling
    from respelled

),

-- "10/-" is an amount of rupees without its sign. The slash at the end of an amount does not
-- separate two actions.
signed as (

    select
        *,
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    regexp_replace(
                        regexp_replace(
                            priced_spelling,
                            r'(^|[^₹0-9.,:?])([0-9.]+) ?(?:/ ?[-=]|-/)',
                            r'\1₹\2 '
                        ),
                        r'([0-9]) ?(?:/ ?[-=]|-/)',
                        r'\1 '
                    ),
                    r'(^|[^₹0-9.,:?])([0-9]{2}) ?(?:paise|paisa)\b',
                    r'\1₹0.\2'
                ),
                r'(^|[^₹0-9.,:?])([0-9]) ?(?:paise|paisa)\b',
                r'\1₹0.0\2'
            ),
            r'([0-9])\.( |$)',
            r'\1\2'
        ) as signed_spelling
    from priced

),

-- A year is not an amount, and "(Revised)" does not make another action.
without_remarks as (

    select
        *,
        regexp_contains(signed_spelling, r'\b{{ remark }}\b') as is_revision,
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    regexp_replace(signed_spelling, r'\b{{ remark }}\b', ' '),
                    r"(^|[^₹0-9.,:?a-z]){{ period }}\b",
                    r'\1'
                ),
                r'\bhalf ?-? ?year[a-z]*|\b(bonus|issue|ratio|dividend|split|purpose) ?:',
                r'\1 '
            ),
            r'\b(?:{{ uncounted }})\b',
            '?'
        ) as plain_spelling
    from signed

),

-- Actions are joined by a sign or a word, or simply follow each other: "... Per Share Special
-- Dividend ...". A sign or word before a number does not separate two actions: "7 Ccps And 7
-- Warrants".
separated as (

    select
        *,
        regexp_replace(
            regexp_replace(
                regexp_replace(plain_spelling, ' +', ' '),
                r' ?(?:[/+&;,|]|\b(?:and|plus|with)\b)[ .-]*([a-z₹])',
                r'|\1'
            ),
            r'([0-9%]|\bper (?:eq[a-z]* )?[a-z]+|\bp shr?)[ .-]*\b({{ openers }})',
            r'\1|\2'
        ) as action_list
    from without_remarks

),

actions as (

    select
        separated.*,
        trim(part, ' -.,/:;+&') as part,
        action_number
    from separated
    cross join unnest(split(separated.action_list, '|')) as part with offset as action_number

),

classified as (

    select
        *,
        case
            when
                -- A bonus of debentures or preference shares does not change the number of shares.
                regexp_contains(part, r'bonus.*\b(?:{{ no_equity }})')
                and regexp_contains(part, r'^[^0-9?]*(?:[0-9]+[^0-9?]*){0,2}$')
                and not regexp_contains(part, r'split|consolidat')
                then 'other'
            when regexp_contains(part, r'\breduction') then 'capital_reduction'
            when regexp_contains(part, r'\bbuy ?-? ?back') then 'buyback'
            when regexp_contains(part, r'\brights?\b') then 'rights'
            when regexp_contains(part, r'bonus') then 'bonus'
            when regexp_contains(part, r'\bsplit\b|consolidat|^spl\b.*₹.* to ') then 'split'
            when regexp_contains(part, r'\bde ?-? ?merge|\bspin|\bhiv(?:e|ing)\b') then 'demerger'
            -- Spellings in the files: "Dividned", "Interimdividend", "Specia Ldividend", "Ividend",
            -- "Intdividend".
            when regexp_contains(part, r'ivid|\bdiv|intdiv') then 'dividend'
            when regexp_contains(part, r'face value') then 'split'
            when regexp_contains(part, r'scheme|arr?angement|amalgamation|\bmerger') then 'scheme'
            when regexp_contains(part, r'cancel|withdr|postpone|defer|distribut') then 'unreadable'
            when
                regexp_contains(part, r'\bmeeting|\b[ae]gm\b|closure|director|election')
                and not regexp_contains(part, r'[₹$%?:]')
                then 'other'
            when
                regexp_contains(
                    part, r'\binterest\b|redemption|repayment|maturity|\b(?:{{ no_equity }})'
                )
                then 'other'
            -- "Special Rs 5" continues a dividend; "Final Call Rs 5" does not. "First And Second
            -- Interim Dividend Rs 2 Each" has two.
            when regexp_contains(part, r'{{ continuation }}') then 'dividend'
            when part != '' and not regexp_contains(part, r'[0-9₹$%?:]') then 'other'
            else 'unreadable'
        end as kind,
        -- "Rs 2 Per Share Of Face Value Rs 10" is a dividend of Rs 2.
        regexp_replace(part, r'{{ face_value_remark }}', ' ') as dividend_part
    from actions

),

sized as (

    select
        *,
        -- A percentage refers to the face value on the ex-date, but the record has the one on the
        -- file's day: EICHERMOT's record of March 2020 has Re 1, and the share had Rs 10.
        if(
            kind = 'dividend'
            and not regexp_contains(part, r'\b(?:{{ no_dividend }})')
            -- "30% On Rs 10" is Rs 3.
            and not regexp_contains(dividend_part, r'% ?(?:of|on|over|upon)\b[^₹]*₹'),
            safe_cast(
                coalesce(
                    regexp_extract(dividend_part, r'^{{ beside }}₹({{ number }}){{ beside }}$'),
                    regexp_extract(
                        dividend_part,
                        r'^{{ text }}(?:ivid|div)[a-z]*[ -]*({{ number }}) per{{ text }}$'
                    )
                ) as numeric
            ),
            null
        ) as read_amount,
        safe_cast(
            regexp_extract(
                part, r'^{{ terms }}({{ count }}){{ joiner }}{{ count }}{{ terms }}$'
            ) as float64
        ) as new_share_count,
        safe_cast(
            regexp_extract(
                part, r'^{{ terms }}{{ count }}{{ joiner }}({{ count }}){{ terms }}$'
            ) as float64
        ) as old_share_count,
        safe_cast(
            regexp_extract(
                part, r'^{{ terms }}{{ read_price }}{{ changer }}{{ price }}{{ terms }}$'
            ) as float64
        ) as old_face_value,
        safe_cast(
            regexp_extract(
                part, r'^{{ terms }}{{ price }}{{ changer }}{{ read_price }}{{ terms }}$'
            ) as float64
        ) as new_face_value
    from classified

),

measured as (

    select
        *,
        case
            when kind = 'bonus' and not regexp_contains(part, r'split|consolidation|₹')
                then (new_share_count + old_share_count) / old_share_count
            when
                kind = 'split'
                and not regexp_contains(part, 'bonus')
                -- "Split 10 To 2" may count shares instead. A split lowers the face value and a
                -- consolidation raises it; if the words say the opposite, either may be wrong.
                and regexp_contains(part, '₹|face value')
                and old_face_value > 0
                and new_face_value > 0
                and if(
                    regexp_contains(part, 'consolidation'),
                    old_face_value < new_face_value and not regexp_contains(part, r'\bsplit\b'),
                    old_face_value > new_face_value
                )
                then safe_divide(old_face_value, new_face_value)
        end as read_ratio,
        -- The amounts of all records with this subject, and how many such records there are.
        sum(read_amount) over (partition by subject) as amounts_sum,
        count(read_amount) over (partition by subject) as amount_count,
        count(*) over (partition by subject, action_number) as record_count,
        min(if(kind = 'dividend', action_number, null)) over (partition by subject)
            as first_dividend_number
    from sized

),

judged as (

    select
        *,
        case
            when kind in ('bonus', 'split') then read_ratio is not null
            -- "Dividend Rs 10 - Final Rs 5 + Special Rs 5" begins with what the others add up to.
            -- It may be their sum, or a dividend of its own.
            when
                kind = 'dividend'
                and action_number = first_dividend_number
                and amount_count >= 3 * record_count
                and 2 * read_amount * record_count = amounts_sum
                and not regexp_contains(part, r'\b{{ dividend_name }}')
                then false
            when kind = 'dividend' then coalesce(read_amount > 0, false)
            when kind in ('rights', 'buyback', 'capital_reduction', 'demerger', 'scheme')
                then not regexp_contains(part, r'bonus|split|consolidat|ivid')
            else kind != 'unreadable'
        end as is_read,
        kind = 'unreadable'
        or regexp_contains(part, r'bonus|split|consolidat|face value|[0-9] ?: ?[0-9]')
            as is_about_shares,
        kind in ('unreadable', 'dividend') or regexp_contains(part, 'ivid') as is_about_dividends
    from measured

),

-- A record that was read in part would give a wrong sum or product. Without a value, the reports of
-- other sources are used.
weighed as (

    select
        *,
        logical_or(is_about_shares and not is_read) over (partition by subject)
            as has_unread_share_action,
        logical_or(is_about_dividends and not is_read) over (partition by subject)
            as has_unread_dividend
    from judged

),

renamed as (

    select
        symbol,
        isin,
        'nse' as source_id,
        _archive_path as list_id,
        series,
        kind,
        spaced_subject as subject,
        -- One text for all spellings of an action that was read.
        case
            when not is_read then part
            when kind = 'bonus' then format('bonus %g:%g', new_share_count, old_share_count)
            when kind = 'split' then format('split from %g to %g', old_face_value, new_face_value)
            when kind = 'dividend'
                then concat(
                        coalesce(regexp_extract(part, r'\b(?:first|second|third|fourth) '), ''),
                        if(regexp_contains(part, r'\bsp'), 'special ', ''),
                        if(regexp_contains(part, r'\bint'), 'interim ', ''),
                        if(regexp_contains(part, r'\bfin'), 'final ', ''),
                        -- Parts of one amount are two dividends if an occasion tells them apart.
                        coalesce(
                            regexp_extract(
                                part, r'\b(?:[a-z]+ )?(?:jubilee|centenary|anniversary) '
                            ),
                            ''
                        ),
                        'dividend ',
                        format('%g', cast(read_amount as float64))
                    )
            else part
        end as action,
        action_number,
        if(has_unread_dividend, null, read_amount) as dividend_amount,
        if(has_unread_share_action, null, round(read_ratio, 6)) as share_ratio,
        safe_cast(faceval as numeric) as face_value,
        -- A file made by hand may have no series.
        coalesce(nullif(upper(trim(series)), ''), 'EQ') in ('EQ', 'BE', 'BZ', 'SM', 'ST')
            as is_of_shares,
        is_read,
        is_revision,
        has_unread_share_action,
        has_unread_dividend,
        ex_date,
        coalesce(
            safe.parse_date('%d-%b-%Y', recdate),
            safe.parse_date('%d-%m-%Y', regexp_extract(recdate, r'^\d\d-\d\d-\d{4}$')),
            safe.parse_date('%Y-%m-%d', regexp_extract(recdate, r'^\d{4}-\d\d-\d\d'))
        ) as record_date,
        _extracted_at as extracted_at
    from weighed

)

select * from renamed
