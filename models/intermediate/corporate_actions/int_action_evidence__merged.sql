-- The evidence by which the corporate actions were judged. Built after them: if a build dies before
-- it, the next build judges them again.
{{ config(materialized='table', tags=['actions']) }}
-- depends_on: {{ ref('fct_adjustment_factors') }}
-- depends_on: {{ ref('fct_corporate_actions') }}
-- depends_on: {{ ref('int_kite_factors') }}

select
    kind,
    digest
from {{ ref('int_action_evidence__digested') }}
