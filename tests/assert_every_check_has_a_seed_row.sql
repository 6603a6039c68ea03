-- A returned row is a check that only one of two places knows: the seed quality_checks, which
-- explains and weighs it, or the variable bar_checks, which names the column of its outcome.
with

computed_checks as (

    select 'is_present' as check_id
    {% for check_id in var('bar_checks') %}
        union all
        select '{{ check_id }}' as check_id
    {% endfor %}

)

select
    quality_checks.check_id as explained_check_id,
    computed_checks.check_id as computed_check_id
from {{ ref('quality_checks') }} as quality_checks
full outer join computed_checks
    on quality_checks.check_id = computed_checks.check_id
where
    quality_checks.check_id is null
    or computed_checks.check_id is null
