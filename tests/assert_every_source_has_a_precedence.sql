-- A returned row is a source that sent bars and has no place in the seed source_precedence, so that
-- none of its bars is chosen.
select bars.source_id
from {{ ref('int_bars__unioned') }} as bars
left join {{ ref('source_precedence') }} as source_precedence
    on bars.source_id = source_precedence.source_id
where
    bars.trade_date >= {{ window_start() }}
    and bars.extracted_at >= timestamp({{ window_start() }})
    and source_precedence.source_id is null
group by bars.source_id
