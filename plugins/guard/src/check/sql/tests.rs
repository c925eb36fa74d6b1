//! Statements that read, and every known way to write with one that looks like it.

use proptest::prelude::*;

use super::*;

fn reads(text: &str, dialect: Dialect) -> Result<(), String> {
    only_reads(text, dialect, &["report".to_owned(), "Sales.totals".to_owned()])
}

#[test]
fn lists_are_in_order() {
    for list in [READS, WRITES, NOT_CALLED, functions::KNOWN] {
        assert!(list.is_sorted_by(|one, next| one < next), "{list:?}");
    }
}

#[test]
fn what_reads_in_any_dialect() {
    let table = [
        "SELECT 1",
        "select * from t where a = 'x; DROP TABLE t' -- fine\n;",
        "SELECT a.\"update\", b.delete FROM t AS a, u b",
        "SELECT count(*), max(x) FROM t GROUP BY y HAVING count(*) > 1 ORDER BY 1 LIMIT 5",
        "WITH a AS (SELECT 1), b (x, y) AS (SELECT 1, 2) SELECT * FROM a, b",
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "(SELECT 1) UNION (SELECT 2)",
        "SELECT * FROM (VALUES (1, 2)) AS v (a, b)",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "VALUES (1), (2)",
        "TABLE t",
        "SHOW TABLES",
        "SELECT replace(a, 'x', 'y'), pg_catalog.lower(b), cast(c AS varchar(10)) FROM t",
        "SELECT 'it''s', \"a\"\"b\", 1.5e3, x'00', $1, :name, ? FROM t",
        "SELECT 'C:\\\\dir', 'a\\b' FROM t",
        "SELECT rank() OVER (PARTITION BY a ORDER BY b), sum(x) FILTER (WHERE y) FROM t",
        "SELECT report(1), sales.TOTALS(2)",
        "SELECT a /* why */ FROM t -- end",
        "SELECT na\u{ef}ve FROM caf\u{e9} WHERE x IN (1, 2) AND EXISTS (SELECT 1)",
        "SELECT * FROM a JOIN b USING (id) LEFT JOIN c ON (a.id = c.id)",
        "SELECT array[1, 2][1]",
        "SELECT 1., 1.5, .5, 1e5, 1.5E-3, 0xFF, 0, 1+1, 2-1, $1, (1), 1/2",
        "WITH a (x) AS (VALUES (1)), \"b\" (y) AS (TABLE t) SELECT * FROM a, b",
        "EXPLAIN WITH a (x) AS (SELECT 1) SELECT * FROM a",
        "SELECT * FROM (WITH a (x) AS (SELECT 1) SELECT * FROM a) AS b",
        "WITH a (x) AS (WITH c (z) AS (SELECT 1) SELECT z FROM c) SELECT x FROM a",
    ];
    for text in table {
        assert_eq!(reads(text, Dialect::Any), Ok(()), "{text}");
    }
}

#[test]
fn what_does_not() {
    let table = [
        "",
        ";",
        "DELETE FROM t",
        "SELECT 1; DROP TABLE t",
        "SELECT 1;;SELECT 2",
        "SELECT 1 DROP TABLE t",
        "SELECT * INTO u FROM t",
        "SELECT * FROM t INTO OUTFILE '/tmp/x'",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "WITH x(a) AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
        "EXPLAIN ANALYZE DELETE FROM t",
        "EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1",
        "ANALYZE t",
        "SELECT 1 FOR UPDATE",
        "SELECT 1 FOR SHARE",
        "SELECT pg_sleep(10)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT nextval('s')",
        "SELECT load_file('/etc/passwd')",
        "SELECT my.lower('x')",
        "SELECT db.pg_catalog.lower('x')",
        "SELECT \"pg_sleep\"(1)",
        "SELECT \"Lower\"('x')",
        "SELECT pg_sleep /* here */ (1)",
        "SELECT * FROM evil(1) AS (a int)",
        "SELECT * FROM evil(1) AS t (a)",
        "CALL p()",
        "DO 'BEGIN END'",
        "SET ROLE admin",
        "PRAGMA writable_schema = 1",
        "ATTACH DATABASE 'x' AS y",
        "COPY t TO PROGRAM 'sh'",
        "SELECT 1 /*! ; DROP TABLE t */",
        "SELECT 1 /*M! ; DROP TABLE t */",
        "SELECT 1 /* /* */ ; DROP TABLE t -- */",
        "SELECT '\\' ; DROP TABLE t -- '",
        "SELECT \"\\\" ; DROP TABLE t -- \"",
        "SELECT $$ ; DROP TABLE t $$",
        "SELECT 1 --; DROP TABLE t",
        "SELECT 1 -- a\r ' \n ; DROP TABLE t -- '",
        "SELECT 1 # ' \n ; DROP TABLE t -- '",
        "SELECT [it's]; DROP TABLE t -- ']",
        "SELECT q'[ ' ]' ; DROP TABLE t -- '",
        "SELECT 'open",
        "SELECT 1 /* open",
        "SELECT 1 \\copy t to 'x'",
        "SELECT\u{a0}1",
        "SELECT 1\0",
        "SELECT @a := 1 INTO @b",
        "'SELECT' 1",
        "\"SELECT\" 1",
        "xSELECT 1",
        "SELECT 'a' 'b'",
        "SELECT 'a' -- x\n 'b'",
        "SELECT a=1INTO t2 FROM t",
        "SELECT 1 WHERE 1=1DELETE FROM t",
        "SELECT 1EXEC p",
        "SELECT 1.5EXEC p",
        "SELECT 1e5EXEC p",
        "SELECT 0x1FINTO t2",
        "SELECT 0x",
        "SELECT 1.e(5)",
        "SELECT 1e(5)",
        "SELECT 1_000(5)",
        "SELECT 1\u{e9}(5)",
        "SELECT 1..delete",
        "SELECT $1INTO t2",
        "SELECT $evil(1)",
        "SELECT * FROM dblink('x') AS (values int)",
        "SELECT * FROM dblink('x') AS (values (int))",
        "WITH a AS (SELECT 1) SELECT * FROM a, dblink('x') AS (values int)",
        "WITH a AS (SELECT 1), dblink('x') AS (values int) SELECT * FROM a",
        "SELECT * FROM unnest(a) WITH ORDINALITY AS (values int), dblink('x') AS (values int)",
        "SELECT * FROM a GROUP BY b WITH dblink('x') AS (SELECT 1)",
        "WRITETEXT t.a @p 'x'",
        "SELECT 1 UPDATETEXT t.a @p 'x'",
        "SELECT 1 REVERT",
        "SELECT 1 SETUSER 'dbo'",
    ];
    for text in table {
        assert!(reads(text, Dialect::Any).is_err(), "{text}");
    }
}

#[test]
fn a_known_dialect_clears_doubts() {
    use Dialect::{Mysql, Postgres, Sqlite};
    let table = [
        ("SELECT $$ it's; DROP $$, $a$ $$ $a$", Postgres, true),
        ("SELECT $$ a $$; DROP TABLE t", Postgres, false),
        ("SELECT $$ a $$", Mysql, false),
        ("SELECT 1 /* /* */ x */", Postgres, true),
        ("SELECT 1 /* /* */ ; DROP TABLE t /* */", Postgres, false),
        ("SELECT 1 /* /* */", Mysql, true),
        ("SELECT 1 /* /* */ ; DROP TABLE t", Mysql, false),
        ("SELECT '\\'; DROP TABLE t -- '", Postgres, false),
        ("SELECT '\\', 'x'", Postgres, true),
        ("SELECT '\\'; DROP TABLE t -- '", Mysql, true),
        ("SELECT '\\''; DROP TABLE t -- '", Mysql, false),
        ("SELECT E'\\'; DROP TABLE t -- '", Postgres, true),
        ("SELECT E'\\''; DROP TABLE t -- '", Postgres, false),
        ("SELECT e '\\'; DROP TABLE t -- '", Postgres, false),
        ("SELECT E'a'\n'\\' ; DROP TABLE t -- '", Postgres, false),
        ("SELECT E'a' -- x\n '\\''; DROP TABLE t -- '", Postgres, false),
        ("SELECT E'a'\n'b'", Postgres, false),
        ("SELECT 'a' \"b\", 'c' AS d", Postgres, true),
        ("WITH a (x) AS NOT MATERIALIZED (SELECT 1) SELECT x FROM a", Postgres, true),
        ("SELECT 1 # DROP TABLE t", Mysql, true),
        ("SELECT data #> '{a}' FROM t", Postgres, true),
        ("SELECT 1 --; DROP TABLE t", Mysql, false),
        ("SELECT 1 --; DROP TABLE t", Postgres, true),
        ("SELECT a['k'] FROM t", Postgres, true),
        ("SELECT [a; drop] FROM t", Sqlite, true),
        ("SELECT [a]; DROP TABLE t", Sqlite, false),
    ];
    for (text, dialect, expected) in table {
        let verdict = reads(text, dialect);
        assert_eq!(verdict.is_ok(), expected, "{text} in {dialect:?}: {verdict:?}");
    }
}

#[test]
fn errors_name_what_is_wrong() {
    let table = [
        ("SELECT 1; SELECT 2", "one SQL statement"),
        ("INSERT INTO t VALUES (1)", "only reads"),
        ("SELECT 1 INTO x", "`INTO`"),
        ("SELECT x.y(1)", "`x.y`"),
        ("SELECT '", "does not end"),
    ];
    for (text, says) in table {
        let error = reads(text, Dialect::Any).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_prefix_hides_a_second_statement(
        noise in "[a-z0-9 '\"`$#\\\\/*\\-\\[\\]()\r\n,E]{0,24}"
    ) {
        // Whatever stands before, a plain second statement is seen in some dialect's reading,
        // so with no dialect known it must not pass unless all of it is inside one string or
        // comment, which the suffix ends.
        let text = format!("SELECT {noise}\n*/ ' \" ` ; DROP TABLE t");
        if reads(&text, Dialect::Any).is_ok() {
            for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite] {
                prop_assert!(reads(&text, dialect).is_ok(), "{} in {:?}", text, dialect);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        for dialect in [Dialect::Any, Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite] {
            let _ = reads(&text, dialect);
            let _ = reads(&format!("SELECT {text}"), dialect);
        }
    }
}
