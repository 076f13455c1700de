package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	sqliteschema "go.temporal.io/server/schema/sqlite"
)

// full opens a file with the server's whole schema.
func full(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "temporal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	inTx(t, db, func(tx *sql.Tx) error {
		return sqliteschema.SetupSchemaOnDB(execer{ctx: t.Context(), tx: tx})
	})
	return db
}

func inTx(t *testing.T, db *sql.DB, do func(*sql.Tx) error) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err == nil {
		err = do(tx)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func mustExec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func insertVisible(t *testing.T, db *sql.DB, run string, attributes any) {
	t.Helper()
	mustExec(t, db, `INSERT INTO executions_visibility
		(namespace_id, run_id, start_time, execution_time, workflow_id, workflow_type_name, status, encoding, search_attributes)
		VALUES ('n', ?, '2026-01-01', '2026-01-01', ?, 'Zone', 1, 'Proto3', ?)`, run, run, attributes)
}

// A full-text search in a slim file finds the same as in a full one, whether a
// row was there before, came later, was changed or was deleted.
func TestSlimFindsTheSame(t *testing.T) {
	db := full(t)
	insertVisible(t, db, "before", `{"Text01":"shop window","KeywordList01":"red♡blue"}`)
	insertVisible(t, db, "bare", nil)
	inTx(t, db, func(tx *sql.Tx) error { return slim(t.Context(), tx) })
	insertVisible(t, db, "after", `{"Text01":"shop door","TemporalReportedProblems":"category=a♡cause=b"}`)
	insertVisible(t, db, "plain", `{"Keyword01":"spring"}`)

	text := func(word string) int {
		return count(t, db, `SELECT COUNT(*) FROM executions_visibility WHERE rowid IN
			(SELECT rowid FROM executions_visibility_fts_text WHERE executions_visibility_fts_text MATCH ?)`, word)
	}
	list := func(column, word string) int {
		return count(t, db, `SELECT COUNT(*) FROM executions_visibility WHERE rowid IN
			(SELECT rowid FROM executions_visibility_fts_keyword_list WHERE executions_visibility_fts_keyword_list MATCH ?)`, fmt.Sprintf(`%s:"%s"`, column, word))
	}
	check := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: found %d, want %d", what, got, want)
		}
	}
	check("text", text("shop"), 2)
	check("a text from before", text("window"), 1)
	check("a list from before", list("KeywordList01", "blue"), 1)
	check("a list", list("TemporalReportedProblems", "cause=b"), 1)

	mustExec(t, db, `UPDATE executions_visibility SET search_attributes = '{"Text01":"shop roof"}' WHERE run_id = 'before'`)
	mustExec(t, db, `UPDATE executions_visibility SET search_attributes = '{"Text01":"shop gate"}' WHERE run_id = 'bare'`)
	mustExec(t, db, `UPDATE executions_visibility SET search_attributes = NULL WHERE run_id = 'after'`)
	check("the old text of a changed row", text("window"), 0)
	check("the old list of a changed row", list("KeywordList01", "blue"), 0)
	check("the new text of a changed row", text("roof"), 1)
	check("the text of a row that had none", text("gate"), 1)
	check("the text of a row that has none any more", text("door"), 0)

	mustExec(t, db, `DELETE FROM executions_visibility WHERE run_id IN ('before', 'plain')`)
	check("a deleted row's text", text("roof"), 0)
	for _, table := range []string{"executions_visibility_fts_text", "executions_visibility_fts_keyword_list"} {
		mustExec(t, db, fmt.Sprintf(`INSERT INTO %s (%[1]s) VALUES ('integrity-check')`, table)) // fails on a broken index
	}
}

// A file that is slim already is not changed, and every index that is needed
// exists.
func TestSlimOnce(t *testing.T) {
	db := full(t)
	const schema = `SELECT COUNT(*) FROM sqlite_master WHERE tbl_name = 'executions_visibility' AND type IN ('index', 'trigger') AND sql IS NOT NULL`
	inTx(t, db, func(tx *sql.Tx) error { return slim(t.Context(), tx) })
	if got, want := count(t, db, schema), len(indexes)+6; got != want {
		t.Fatalf("%d indexes and triggers are left, want %d", got, want)
	}
	version := count(t, db, `PRAGMA schema_version`)
	inTx(t, db, func(tx *sql.Tx) error { return slim(t.Context(), tx) })
	if again := count(t, db, `PRAGMA schema_version`); again != version {
		t.Fatal("the second time changed the schema")
	}
}
