"""What a reader's SQL may do: one SELECT, calling only functions known to do no harm.

Readers share the process and the connection settings of the only writer, so a statement that merely
*parses* as a SELECT is not enough: `SELECT * FROM checkpoint()`, `nextval()`, `write_log()` and
`query('...')` all do. The statement is parsed by DuckDB itself (`extract_statements`,
`json_serialize_sql`); the tree is walked whole, and every form, function and table that is not known is
refused. Unknown means refused, so a function that a later DuckDB adds stays shut until somebody opens it
here.

Three walls stand behind one another: this check, the read-only transaction that the caller opens, and
`harden`. None of them is enough alone: with external access off DuckDB still lets `read_blob` read its own
database file, and attach memory.

What the guard cannot bound is the size of one value: DuckDB neither counts the text that a scalar function
builds against its memory limit nor interrupts it. The worst multipliers are refused (`repeat`,
`list_resize`), the rest is left to the operating system's limit on the process; killing it loses no
committed row.
"""

import json
from collections.abc import Collection, Iterator, Mapping

import duckdb

MAX_CHARACTERS = 32_768  # DuckDB's parser needs time quadratic in nested comments: 3.6 s at this length.
MAX_NESTING = 10  # Binding doubles its work with every subquery or lambda inside another, uninterruptibly.
MAX_TABLES = 48  # Join planning cannot be interrupted either: 40 tables took 0.2 s, 100 took 13 s.
MAX_PADDING = 1_000  # characters, for lpad and rpad, whose length must be a literal


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# In lower case, as the parser gives them.
OPERATORS = _names("+ - * / // % ** ^ & | << >> ~ @ !__postfix || ~~ !~~ ~~* !~~* ~~~ ^@ ->> && @> <@ <-> <=>")
SCALARS = _names(
    """
    abs acos acosh add age alias array_to_string array_to_string_comma_default ascii asin asinh atan atan2
    atanh bar base64 bin bit_count bit_length bit_position bitstring_agg can_cast_implicitly cardinality
    cbrt ceil ceiling century char_length character_length chr concat concat_ws contains cos cosh cot
    current_catalog current_database current_date current_localtime current_localtimestamp current_schema
    current_user damerau_levenshtein date_add date_diff date_part date_sub date_trunc datediff datepart
    datesub datetrunc day dayname dayofmonth dayofweek dayofyear days_in_month decade decode degrees
    divide editdist3 encode ends_with enum_code enum_first enum_last enum_range enum_range_boundary epoch
    epoch_ms epoch_ns epoch_us equi_width_bins era error even exp factorial fdiv floor fmod format_bytes
    formatreadabledecimalsize formatreadablesize from_base64 from_binary from_hex gamma gcd
    gen_random_uuid get_bit get_current_time get_current_timestamp greatest greatest_common_divisor
    hamming hash hex hour ilike_escape instr isfinite isinf isnan isodow isoyear jaccard jaro_similarity
    jaro_winkler_similarity julian last_day lcase lcm least least_common_multiple left left_grapheme
    length length_grapheme levenshtein lgamma like_escape ln log log10 log2 lower lpad ltrim make_date
    make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz md5 md5_number
    md5_number_lower md5_number_upper microsecond millennium millisecond minute mismatches mod month
    monthname multiply nanosecond nextafter nfc_normalize normalized_interval not_ilike_escape
    not_like_escape now nullif octet_length ord parse_dirname parse_dirpath parse_filename
    parse_formatted_bytes parse_path pg_size_pretty pg_typeof pi position pow power prefix quarter radians
    random regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table replace reverse right right_grapheme round round_even
    roundbankers rpad rtrim second set_bit sha1 sha256 sign signbit sin sinh split split_part sqrt
    starts_with str_split str_split_regex strftime string_split string_split_regex string_to_array
    strip_accents strlen strpos strptime substr substring substring_grapheme subtract suffix tan tanh
    time_bucket timezone timezone_hour timezone_minute to_base to_base64 to_binary to_centuries to_days
    to_decades to_hex to_hours to_microseconds to_millennia to_milliseconds to_minutes to_months
    to_quarters to_seconds to_timestamp to_weeks to_years today transaction_timestamp translate trim trunc
    try_strptime typeof ucase unbin unhex unicode upper url_decode url_encode uuid uuidv4 uuidv7 version
    week weekday weekofyear xor year yearweek
    """
)
NESTED = _names(
    """
    aggregate apply array_aggr array_aggregate array_append array_apply array_cat array_concat
    array_contains array_cosine_distance array_cosine_similarity array_cross_product array_distance
    array_distinct array_dot_product array_extract array_filter array_grade_up array_has array_has_all
    array_has_any array_indexof array_inner_product array_intersect array_length array_pop_back
    array_pop_front array_position array_prepend array_push_back array_push_front array_reduce
    array_reverse array_reverse_sort array_select array_slice array_sort array_transform array_unique
    array_value array_where array_zip element_at filter flatten generate_series generate_subscripts
    grade_up len list_aggr list_aggregate list_any_value list_append list_apply list_approx_count_distinct
    list_avg list_bit_and list_bit_or list_bit_xor list_bool_and list_bool_or list_cat list_concat
    list_contains list_cosine_distance list_cosine_similarity list_count list_distance list_distinct
    list_dot_product list_element list_entropy list_extract list_filter list_first list_grade_up list_has
    list_has_all list_has_any list_histogram list_indexof list_inner_product list_intersect list_kurtosis
    list_kurtosis_pop list_last list_mad list_max list_median list_min list_mode list_pack list_position
    list_prepend list_product list_reduce list_reverse list_reverse_sort list_select list_sem
    list_skewness list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum
    list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip map map_concat
    map_contains map_contains_entry map_contains_value map_entries map_extract map_extract_value
    map_from_entries map_keys map_values range reduce row struct_concat struct_contains struct_extract
    struct_extract_at struct_has struct_indexof struct_insert struct_keys struct_pack struct_position
    struct_update struct_values union_extract union_tag union_value unnest unpivot_list variant_extract
    variant_typeof
    """
)
AGGREGATES = _names(
    """
    any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null
    arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg avg bit_and bit_or
    bit_xor bool_and bool_or corr count count_if count_star countif covar_pop covar_samp cume_dist
    dense_rank entropy favg fill first first_value fsum geomean geometric_mean group_concat histogram
    histogram_exact kahan_sum kurtosis kurtosis_pop lag last last_value lead list listagg mad max max_by
    mean median min min_by mode nth_value ntile percent_rank product quantile quantile_cont quantile_disc
    rank rank_dense regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy
    regr_syy reservoir_quantile row_number sem skewness stddev stddev_pop stddev_samp string_agg sum
    sum_no_overflow sumkahan var_pop var_samp variance wavg weighted_avg
    """
)
JSON = _names(
    """
    array_to_json from_json from_json_strict json json_array json_array_length json_contains json_exists
    json_extract json_extract_path json_extract_path_text json_extract_string json_group_array
    json_group_object json_group_structure json_keys json_merge_patch json_object json_pretty json_quote
    json_structure json_transform json_transform_strict json_type json_valid json_value row_to_json
    to_json
    """
)
FUNCTIONS = OPERATORS | SCALARS | NESTED | AGGREGATES | JSON
# A list of its own: the table macro `histogram` names a table, or a file, in its argument; the aggregate does not.
TABLE_FUNCTIONS = _names(
    """
    duckdb_columns duckdb_constraints duckdb_schemas duckdb_tables duckdb_types duckdb_views
    generate_series json_each json_tree range unnest
    """
)
CATALOG_VIEWS = _names("duckdb_columns duckdb_constraints duckdb_schemas duckdb_tables duckdb_types duckdb_views")
CLOSED_TABLES = _names("set_aside")
SHOW_STATEMENTS = _names("tables databases schemas variables __show_tables_expanded")

_EXPRESSIONS = _names(
    """
    BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT FUNCTION LAMBDA OPERATOR
    PARAMETER POSITIONAL_REFERENCE STAR SUBQUERY WINDOW
    """
)
_FORMS = _names(
    """
    SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE BASE_TABLE SUBQUERY JOIN TABLE_FUNCTION
    EXPRESSION_LIST EMPTY PIVOT SHOW_REF ORDER_MODIFIER LIMIT_MODIFIER LIMIT_PERCENT_MODIFIER
    DISTINCT_MODIFIER ORDER_DEFAULT ASCENDING DESCENDING
    """
)

Node = Mapping[str, object]


class QueryRefused(ValueError):  # noqa: N818 - a refusal is an answer, the reader's own fault
    """A reader's statement that is not run; the message is one sentence with the offending word and the way out."""


def check(connection: duckdb.DuckDBPyConnection, sql: str, macros: Collection[str] = ()) -> None:
    """Return when `sql` is one SELECT that a reader may run; raise `QueryRefused` otherwise.

    Nothing of `sql` is executed or bound, so unknown columns are left for DuckDB to report. Macros whose name
    ends in `_asof` and those in `macros` may be called besides the lists of this module; what stands inside
    macros and views is the project's own and is not looked at. Parameters (`?`, `$name`) are free: a parameter
    is a value and never a name.
    """
    try:
        tree = parsed(connection, sql)
        permitted = FUNCTIONS | {name.lower() for name in macros}
        for node, nesting in _nodes(tree):
            _check_form(node, nesting)
            _check_function(node, permitted)
            _check_table(connection, node)
        _check_size(tree)
    except RecursionError:
        raise QueryRefused("The query is nested too deeply to be checked; split it with WITH.") from None


def harden(connection: duckdb.DuckDBPyConnection) -> None:
    """Shut the whole database instance off from files, extensions and Python variables, for good.

    The writer keeps commits, checkpoints, `memory_limit`, `threads` and `checkpoint_threshold`: the
    configuration is not locked. `temp_directory` cannot be changed afterwards, and the writer must `register`
    an Arrow table to select from it, because looking up Python variables by name ends here too. Calling it
    again changes nothing.
    """
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET allow_community_extensions = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")


def parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> object:
    """The parse tree of one SELECT, as DuckDB gives it in JSON; raises `QueryRefused` where `sql` is none."""
    _check_text(sql)
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1:
            raise QueryRefused(_count_refusal(len(statements)))
        kind = statements[0].type
        if kind != duckdb.StatementType.SELECT:
            raise QueryRefused(f"{kind.name} is not a SELECT; readers only read, so send one SELECT.")
        row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0]
    except duckdb.Error as error:
        raise QueryRefused(f"DuckDB cannot parse the query, please correct it: {one_line(error)}") from error
    parsed = json.loads(row[0])
    if parsed["error"]:
        reason = parsed["error_message"]
        raise QueryRefused(f"This form of SELECT cannot be checked ({reason}); write it without PRAGMA or PIVOT.")
    return parsed["statements"]


def _check_text(sql: str) -> None:
    if len(sql) > MAX_CHARACTERS:
        long = f"The query has {len(sql)} characters, at most {MAX_CHARACTERS} are read"
        raise QueryRefused(f"{long}; pass long lists as parameters.")
    # DuckDB stops reading at a NUL, and what follows would be neither checked nor seen in a log.
    if "\0" in sql:
        raise QueryRefused("The query holds a NUL character; remove it.")
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise QueryRefused(f"The query is not valid Unicode at character {error.start}; remove it.") from None


def _count_refusal(count: int) -> str:
    if count == 0:
        return "The query is empty; send one SELECT."
    return f"The text becomes {count} statements and readers run one; send one SELECT (and give PIVOT its IN list)."


def one_line(error: BaseException) -> str:
    """The first paragraph of DuckDB's message, without the excerpt of the query that follows it."""
    return " ".join(str(error).split("\n\n")[0].split())


def _nodes(tree: object) -> Iterator[tuple[Node, int]]:
    """Every object of the tree, with the number of subqueries and lambdas around it."""
    rest: list[tuple[object, int]] = [(tree, 0)]
    while rest:
        value, nesting = rest.pop()
        if isinstance(value, list):
            rest.extend((item, nesting) for item in value)
        elif isinstance(value, dict):
            yield value, nesting
            deeper = nesting + (value.get("class") in ("SUBQUERY", "LAMBDA"))
            rest.extend((item, deeper) for item in _parts(value))


def _parts(node: Node) -> Iterator[object]:
    for value in node.values():
        # The call inside a table function is held against the table functions, its arguments against the others.
        if node.get("type") == "TABLE_FUNCTION" and value is node["function"] and isinstance(value, dict):
            yield from value.values()
        else:
            yield value


def _check_form(node: Node, nesting: int) -> None:
    expression, form = node.get("class"), node.get("type")
    if expression is not None and expression not in _EXPRESSIONS:
        raise QueryRefused(f"The expression {expression} is not open to readers; rewrite the query without it.")
    if expression is None and isinstance(form, str) and form not in _FORMS and not form.endswith("_TYPE_INFO"):
        raise QueryRefused(f"The form {form} is not open to readers; rewrite the query without it.")
    if nesting > MAX_NESTING:
        raise QueryRefused(f"Subqueries and lambdas are nested more than {MAX_NESTING} deep; split the query with WITH.")


def _check_function(node: Node, permitted: Collection[str]) -> None:
    if node.get("type") == "TABLE_FUNCTION":
        called = node["function"]
        if not isinstance(called, dict) or called.get("class") != "FUNCTION":
            raise QueryRefused("A table function without a name is not open to readers; name the function.")
        _check_name(called, TABLE_FUNCTIONS | (set(permitted) - FUNCTIONS))
    elif "function_name" in node and "class" in node:
        _check_name(node, permitted)
        _check_padding(node)


def _check_name(call: Node, permitted: Collection[str]) -> None:
    name = str(call["function_name"]).lower()
    # `upper` in `main.upper(x)` and in `column.upper()` look alike, so the qualification says nothing and is not asked.
    if name not in permitted and not name.endswith("_asof"):
        raise QueryRefused(f"The function {name} is not open to readers; use those listed in projections/guard.py.")
    if call.get("export_state"):
        raise QueryRefused(f"EXPORT_STATE of {name} is not open to readers; take the aggregate's value.")


def _check_padding(call: Node) -> None:
    name, arguments = str(call["function_name"]).lower(), call.get("children")
    if name not in ("lpad", "rpad") or not isinstance(arguments, list):
        return
    # Called as a method (`column.lpad(6, '0')`) the text is not among the arguments, so every number counts.
    lengths = [_literal(argument) for argument in arguments]
    if not any(isinstance(length, int) and length <= MAX_PADDING for length in lengths) or any(
        isinstance(length, int) and length > MAX_PADDING for length in lengths
    ):
        raise QueryRefused(f"{name} needs its length as a number of at most {MAX_PADDING}; write the number out.")


def _literal(expression: object) -> object:
    if isinstance(expression, dict) and expression.get("class") == "CONSTANT":
        return expression["value"].get("value")
    return None


def _check_table(connection: duckdb.DuckDBPyConnection, node: Node) -> None:
    if node.get("type") == "SHOW_REF":
        _check_shown(str(node["table_name"]).strip('"'))
    if node.get("type") != "BASE_TABLE":
        return
    name, schema = str(node["table_name"]), str(node["schema_name"])
    if not name.replace("_", "").isalnum():
        raise QueryRefused(f"'{name}' may be the name of a file; readers name tables and views, in word characters.")
    if name.lower() in CLOSED_TABLES:
        raise QueryRefused(f"{name} is not open to readers: it holds what is stored and may not be used.")
    if schema.lower() == "pg_catalog" or _is_closed_view(name.lower()):
        raise QueryRefused(f"{name} is not open to readers; use information_schema.")
    # An unknown a.csv would be looked for as a file; a name without a dot cannot have a file's ending.
    if schema and not _exists(connection, schema, name):
        raise QueryRefused(f"There is no table or view {schema}.{name}; SHOW TABLES lists those there are.")


def _is_closed_view(name: str) -> bool:
    return name.startswith(("duckdb_", "pragma_", "pg_")) and name not in CATALOG_VIEWS


def _check_shown(name: str) -> None:
    if name and name not in SHOW_STATEMENTS:
        raise QueryRefused(f"SHOW {name} is not open to readers; use SHOW TABLES or DESCRIBE.")


_KNOWN = """
    SELECT 1 FROM (
        SELECT database_name, schema_name, table_name FROM duckdb_tables()
        UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views()
    ) WHERE lower(table_name) = lower($name) AND lower($qualifier) IN (lower(database_name), lower(schema_name))
"""


def _exists(connection: duckdb.DuckDBPyConnection, qualifier: str, name: str) -> bool:
    """Whether `qualifier`, which DuckDB reads as a schema or as a database, has a table or view `name`."""
    return bool(connection.execute(_KNOWN, {"name": name, "qualifier": qualifier}).fetchall())


def _check_size(tree: object) -> None:
    weights: dict[str, int] = {}
    tables = max(_tables(tree, weights), *weights.values(), 0)
    if tables > MAX_TABLES:
        many = f"The query reads {tables} tables with its WITH parts put in place, at most {MAX_TABLES} are planned"
        raise QueryRefused(f"{many}; split it.")


def _tables(node: object, weights: dict[str, int]) -> int:
    """How many tables the planner meets below `node` with every WITH part copied to each place that names it.

    `weights` collects that number per WITH name; without it 22 short lines that each name the one before twice
    become four million tables.
    """
    if isinstance(node, list):
        return sum(_tables(item, weights) for item in node)
    if not isinstance(node, dict):
        return 0
    for entry in node.get("cte_map", {}).get("map", []):
        key = str(entry["key"]).lower()
        weights[key] = max(weights.get(key, 1), _tables(entry["value"], weights))
    if node.get("type") == "BASE_TABLE":
        return weights.get(str(node["table_name"]).lower(), 1)
    below = sum(_tables(value, weights) for name, value in node.items() if name != "cte_map")
    return below + (node.get("type") == "TABLE_FUNCTION")
