"""Tests of the dbt project as a whole; its models' own tests are beside them."""
