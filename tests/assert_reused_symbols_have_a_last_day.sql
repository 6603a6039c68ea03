-- A returned row is a symbol that one instrument had and another one has: without the day on which
-- it changed hands, all bars would be the former's.
select former_identifiers.identifier
from {{ ref('former_identifiers') }} as former_identifiers
inner join {{ ref('instruments') }} as instruments
    on former_identifiers.identifier = instruments.symbol
where
    former_identifiers.kind = 'symbol'
    and former_identifiers.last_used_on is null
