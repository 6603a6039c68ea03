-- A returned row is a source that sent bars and has no place in the seed source_precedence, so that
-- none of its bars is chosen.
select bars.source_id
from {{ ref('int_bars__deduplicated') }} as bars
left join {{ ref('source_precedence') }} as source_precedence
    on bars.source_id = source_precedence.source_id
where source_precedence.source_id is null
group by bars.source_id
