-- A table, because many models read it.
{{ config(materialized='table', cluster_by=['symbol'], tags=['actions']) }}

with

dividends as (

    select
        symbol,
        dividend_amount * share_factor_before as amount,
        dividend_yield,
        ex_date
    from {{ ref('int_dividends__reconciled') }}
    where
        dividend_amount > 0
        and (dividend_yield is not null or status = 'announced')

),

levels as (

    select
        levels.symbol,
        told.known_on,
        told.session_count,
        told.kite_mean,
        told.yahoo_mean,
        told.kite_variance,
        told.yahoo_variance,
        told.covariance,
        told.first_date,
        told.last_date
    from {{ ref('int_kite_levels__measured') }} as levels
    cross join unnest(levels.fetches) as told

),

fetches as (

    select
        symbol,
        known_on,
        array_agg(yahoo_mean order by last_date desc limit 1)[offset(0)] as latest_mean
    from levels
    group by symbol, known_on

),

share_factors as (

    select * from {{ ref('int_share_factors') }}

),

-- In shares of the day of the fetch. Kite decides by the price on the day of the announcement,
-- which no source reports: it took out TATASTEEL's dividend of 2024-06-21, which was 1.98 % on the
-- ex-date.
candidates as (

    select
        fetches.symbol,
        fetches.known_on,
        dividends.amount / coalesce(share_factors.share_factor, 1) as amount,
        dividends.dividend_yield,
        dividends.ex_date,
        lead(dividends.ex_date) over of_fetch as next_ex_date,
        countif(dividends.dividend_yield is not null) over (
            partition by fetches.symbol, fetches.known_on
            order by dividends.ex_date
            rows between 1 following and unbounded following
        ) as later_count
    from fetches
    inner join dividends
        on
            fetches.symbol = dividends.symbol
            and fetches.known_on >= dividends.ex_date
    left join share_factors
        on
            fetches.symbol = share_factors.symbol
            and fetches.known_on >= share_factors.valid_from
            and fetches.known_on < share_factors.valid_to
    where
        coalesce(
            dividends.dividend_yield,
            dividends.amount / coalesce(share_factors.share_factor, 1) / fetches.latest_mean
        ) >= 0.01
    window
        of_fetch as (
            partition by fetches.symbol, fetches.known_on
            order by dividends.ex_date
        )

),

placed as (

    select
        levels.symbol,
        levels.known_on,
        levels.session_count,
        levels.kite_mean,
        levels.yahoo_mean,
        levels.kite_variance,
        levels.yahoo_variance,
        levels.covariance,
        min(candidates.ex_date) as ex_date
    from levels
    left join candidates
        on
            levels.symbol = candidates.symbol
            and levels.known_on = candidates.known_on
            and levels.first_date < candidates.ex_date
    group by
        levels.symbol,
        levels.known_on,
        levels.first_date,
        levels.last_date,
        levels.session_count,
        levels.kite_mean,
        levels.yahoo_mean,
        levels.kite_variance,
        levels.yahoo_variance,
        levels.covariance
    -- Numbers that were measured before the dividend was reported mix sessions from both sides of
    -- its ex-date.
    having coalesce(levels.last_date < min(candidates.ex_date), true)

),

-- All sessions from one ex-date to the next, calculated from the means and variances of the months.
segments as (

    select
        symbol,
        known_on,
        ex_date,
        sum(session_count) as session_count,
        sum(session_count * kite_mean) / sum(session_count) as kite_mean,
        sum(session_count * yahoo_mean) / sum(session_count) as yahoo_mean,
        sum(session_count * (kite_variance + kite_mean * kite_mean)) / sum(session_count)
        - pow(sum(session_count * kite_mean) / sum(session_count), 2) as kite_variance,
        sum(session_count * (yahoo_variance + yahoo_mean * yahoo_mean)) / sum(session_count)
        - pow(sum(session_count * yahoo_mean) / sum(session_count), 2) as yahoo_variance,
        sum(session_count * (covariance + kite_mean * yahoo_mean)) / sum(session_count)
        - sum(session_count * kite_mean) / sum(session_count)
        * sum(session_count * yahoo_mean) / sum(session_count) as covariance
    from placed
    group by symbol, known_on, ex_date

),

-- The line of Kite's closes against Yahoo's: its slope is the product of the factors of later
-- dividends, its intercept the sum of the rupees subtracted.
lines as (

    select
        symbol,
        known_on,
        ex_date,
        session_count,
        kite_mean,
        yahoo_mean,
        kite_variance,
        yahoo_variance,
        covariance,
        covariance / yahoo_variance as slope,
        kite_mean - covariance / yahoo_variance * yahoo_mean as intercept
    from segments
    where session_count >= 5 and yahoo_variance > 0

),

-- After the last dividend, or where the bars end, Kite's closes are as traded.
compared as (

    select
        candidates.symbol,
        candidates.known_on,
        candidates.amount,
        candidates.dividend_yield,
        candidates.ex_date,
        lines_before.kite_mean,
        lines_before.yahoo_mean,
        lines_before.kite_variance,
        lines_before.yahoo_variance,
        lines_before.covariance,
        coalesce(lines_after.slope, 1) as slope_after,
        coalesce(lines_after.intercept, 0) as intercept_after,
        lines_before.kite_mean
        / (
            coalesce(lines_after.slope, 1) * lines_before.yahoo_mean
            + coalesce(lines_after.intercept, 0)
        ) as level_factor
    from candidates
    inner join lines as lines_before
        on
            candidates.symbol = lines_before.symbol
            and candidates.known_on = lines_before.known_on
            and candidates.ex_date = lines_before.ex_date
    left join lines as lines_after
        on
            candidates.symbol = lines_after.symbol
            and candidates.known_on = lines_after.known_on
            and coalesce(candidates.next_ex_date, date '9999-12-31')
            = coalesce(lines_after.ex_date, date '9999-12-31')
    where lines_after.symbol is not null or candidates.later_count = 0

),

-- If no close before the ex-date is known, the level of Kite's closes gives the factor, within
-- bounds.
with_factors as (

    select
        *,
        coalesce(
            1 - dividend_yield,
            if(
                level_factor between 1 - 2 * amount / yahoo_mean and 1 - amount / yahoo_mean / 2,
                level_factor,
                null
            )
        ) as factor
    from compared

),

hypotheses as (

    select
        with_factors.*,
        hypothesis.method,
        hypothesis.slope,
        hypothesis.intercept,
        -- The root mean square distance of Kite's closes from the line of the hypothesis.
        sqrt(
            greatest(
                with_factors.kite_variance
                - 2 * hypothesis.slope * with_factors.covariance
                + hypothesis.slope * hypothesis.slope * with_factors.yahoo_variance
                + pow(
                    with_factors.kite_mean
                    - hypothesis.slope * with_factors.yahoo_mean
                    - hypothesis.intercept,
                    2
                ),
                0
            )
        ) as distance
    from with_factors
    cross join unnest([
        struct(
            'none' as method,
            with_factors.slope_after as slope,
            with_factors.intercept_after as intercept
        ),
        struct(
            'subtract' as method,
            with_factors.slope_after as slope,
            with_factors.intercept_after
            - with_factors.slope_after * with_factors.amount as intercept
        ),
        struct(
            'multiply' as method,
            with_factors.slope_after * with_factors.factor as slope,
            with_factors.intercept_after * with_factors.factor as intercept
        )
    ]) as hypothesis

),

nearest as (

    select * from hypotheses
    where slope is not null
    qualify
        row_number() over (
            partition by symbol, known_on, ex_date
            order by distance, method
        ) = 1

),

judged as (

    select
        symbol,
        method,
        round(if(method = 'multiply', factor, 1), 8) as factor,
        -- Closes are in ticks of 0.05. Further digits depend on the order in which rows were
        -- summed.
        round(distance, 3) as distance,
        round(amount, 6) as amount,
        ex_date,
        known_on
    from nearest
    -- If all lines are farther off than a quarter of the dividend, none fits; the cause may be a
    -- demerger.
    where distance <= amount / 4

)

select * from judged
