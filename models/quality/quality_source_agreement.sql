select
    symbol,
    source_id,
    verdict,
    median_ratio,
    bar_count,
    primary_bar_count,
    overlap_count,
    agreeing_count,
    is_compared,
    month
from {{ ref('int_source_scales__judged') }}
