package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"modernc.org/sqlite"
)

func keeping(t *testing.T) (*sql.DB, *conn) {
	t.Helper()
	plain, err := sql.Open("sqlite", "")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	db := sql.OpenDB(connector{plain.Driver(), "file:" + filepath.Join(t.TempDir(), "a.db")})
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	mustExec(t, db, `CREATE TABLE numbers (n INTEGER PRIMARY KEY)`)
	var kept *conn
	one, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if err := one.Raw(func(c any) error { kept = c.(*conn); return nil }); err != nil {
		t.Fatal(err)
	}
	return db, kept
}

const (
	insertOne = `INSERT INTO numbers VALUES (?)`
	selectAll = `SELECT n FROM numbers ORDER BY n`
)

// A statement is compiled once, even if an earlier run of it failed. The error
// is the driver's own, because the server recognises duplicates by it.
func TestStatementsAreKept(t *testing.T) {
	db, kept := keeping(t)
	for n := range 5 {
		mustExec(t, db, insertOne, n)
	}
	_, err := db.ExecContext(t.Context(), insertOne, 3)
	var wrong *sqlite.Error
	if !errors.As(err, &wrong) {
		t.Fatalf("a duplicate is %v, want the driver's error", err)
	}
	mustExec(t, db, insertOne, 5)
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 6 {
		t.Fatalf("%d rows, want 6", n)
	}
	if len(kept.idle) != 3 { // CREATE, INSERT, SELECT
		t.Fatalf("%d statements are kept, want 3", len(kept.idle))
	}
}

// While rows of a query are read, the same query can be run a second time.
func TestStatementInUse(t *testing.T) {
	db, _ := keeping(t)
	for n := range 3 {
		mustExec(t, db, insertOne, n)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	outer, err := tx.QueryContext(t.Context(), selectAll)
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	seen := 0
	for outer.Next() {
		inner, err := tx.QueryContext(t.Context(), selectAll)
		if err != nil {
			t.Fatal(err)
		}
		for inner.Next() {
			seen++
		}
		if err := errors.Join(inner.Err(), inner.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if seen != 9 || outer.Err() != nil {
		t.Fatalf("%d rows in all, want 9; %v", seen, outer.Err())
	}
}

func TestTransactions(t *testing.T) {
	db, _ := keeping(t)
	for n, keep := range []bool{true, false, true} {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), insertOne, n); err != nil {
			t.Fatal(err)
		}
		end := tx.Rollback
		if keep {
			end = tx.Commit
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, db, `SELECT SUM(n) FROM numbers`); n != 2 {
		t.Fatalf("the sum is %d, want that of 0 and 2", n)
	}
}

func TestStatementsAreBounded(t *testing.T) {
	db, kept := keeping(t)
	for n := range 3 * mostIdle {
		count(t, db, fmt.Sprintf(`SELECT %d`, n))
	}
	if len(kept.idle) > mostIdle {
		t.Fatalf("%d statements are kept, want at most %d", len(kept.idle), mostIdle)
	}
}

func TestAContextThatHasEnded(t *testing.T) {
	db, _ := keeping(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := db.ExecContext(ctx, insertOne, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want the context's error", err)
	}
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 0 {
		t.Fatal("it ran all the same")
	}
}
