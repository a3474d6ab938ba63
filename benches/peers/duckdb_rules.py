"""The rules of crmflow's contact schema and address check, in DuckDB's SQL.

Of several queries with the right result this one was the fastest. It reads fields as JSON, to distinguish their types.
A line that is not JSON becomes a row of nulls, and a second pass reads the text of refused lines. DuckDB accepts an object
with the same name twice; crmflow refuses it.
"""

LABEL = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
ADDRESS = r"[a-zA-Z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@" + LABEL + r"(\." + LABEL + ")*"


def checked(db, source):
    """Makes the views `valid` and `refused` over the checked records, and the table `winners`."""
    db.execute(
        f"""create temp table checked as select row_number() over () as n, *, case
              when name is null then 'required /name'
              when name not like '"%' then 'type /name'
              when email is null then 'required /email'
              when email not like '"%' then 'type /email'
              when optIn is null then 'required /optIn'
              when optIn not in ('true', 'false') then 'type /optIn'
              when interests is null then null
              when interests not like '[%' then 'type /interests'
              when interests = '[]' then 'minItems /interests'
              when list_distinct(json_type(interests, '$[*]')) <> ['VARCHAR'] then 'type /interests'
            end as schema_fault, lower(trim(email->>'$')) as address,
            case when schema_fault is not null then schema_fault
                 when not regexp_full_match(address, '{ADDRESS}') then 'email /email' end as fault
            from read_ndjson('{source}', ignore_errors = true,
                columns = {{name: 'JSON', email: 'JSON', optIn: 'JSON', interests: 'JSON'}})"""
    )
    db.execute("create temp view valid as select *, optIn = 'true' as opted_in from checked where fault is null")
    db.execute(
        f"""create temp table refused as select n, line, fault
            from (select row_number() over () as n, line from read_csv('{source}', auto_detect = false,
                      header = false, columns = {{line: 'VARCHAR'}}, delim = '\x01', quote = '', escape = ''))
            join (select n, fault from checked where fault is not null) using (n)"""
    )
    db.execute(
        """create temp table winners as
           select min(n) as n, arg_min(opted_in, n) as opted_in,
                  bool_or(opted_in) and not bool_and(opted_in) as in_conflict
           from valid group by address"""
    )
