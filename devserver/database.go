package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	serverconfig "go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
	_ "modernc.org/sqlite" // registers the driver "sqlite", the one that the server uses too
)

// searchAttributes are what a namespace has from its first moment. Others can
// be added while the server runs, up to ten of each type.
var searchAttributes = map[string]enumspb.IndexedValueType{
	"KeywaveCampaign": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"KeywaveZone":     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"KeywaveOutcome":  enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"KeywaveAccount":  enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"KeywavePlan":     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
}

// pragmas are set for every connection. A committed transaction survives the
// death of the process. With synchronous=1 a power cut may lose the last
// moments, but never half of a transaction.
var pragmas = map[string]string{
	"busy_timeout": "5000",
	"journal_mode": "wal",
	"synchronous":  "1",
	"cache_size":   "-65536", // KiB: the pages that a campaign reads again and again
}

// database is the SQLite file, held by this process alone.
type database struct {
	path string
	lock *os.File
}

// openDatabase opens the file at path, which only its owner can read, and gives
// a new file the server's schema. It makes the directory if it is missing.
func openDatabase(ctx context.Context, path string) (*database, error) {
	syscall.Umask(0o077) // this holds also for files that SQLite puts beside the file
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d := &database{path: path, lock: lock}
	err = errors.Join(d.private(), d.setUp(ctx))
	if err == nil {
		err = keepStatements(d.store(), d.dsn())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(err, lock.Close()))
	}
	return d, nil
}

// lockFile takes a lock that ends with the process, however the process ends.
// SQLite would let a second server in, and the two would fight over every
// shard. The lock is not on the database file itself, because closing that
// would drop SQLite's locks.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("another server has it open")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// private creates the file, or closes an existing file to other users.
func (d *database) private() error {
	f, err := os.OpenFile(d.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// setUp gives a new file the whole of the server's schema, or nothing: if the
// process is killed half-way, the file is still new.
func (d *database) setUp(ctx context.Context) error {
	db, err := sql.Open("sqlite", d.dsn())
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()

	var tables, ours int
	const count = `SELECT COUNT(*), COUNT(CASE name WHEN 'namespaces' THEN 1 END) FROM sqlite_master WHERE type = 'table'`
	if err := tx.QueryRowContext(ctx, count).Scan(&tables, &ours); err != nil {
		return err
	}
	if ours == 0 {
		if tables > 0 {
			return errors.New("a database, but not one of Temporal's")
		}
		if err := sqliteschema.SetupSchemaOnDB(execer{ctx: ctx, tx: tx}); err != nil {
			return err
		}
	}
	if err := slim(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// execer is the part of an AdminDB that setting up a schema needs.
type execer struct {
	sqlplugin.AdminDB
	ctx context.Context
	tx  *sql.Tx
}

func (e execer) Exec(stmt string, args ...any) error {
	_, err := e.tx.ExecContext(e.ctx, stmt, args...)
	return err
}

// createNamespace makes the namespace, with its search attributes. If the file
// has it already, nothing is changed.
func (d *database) createNamespace(name string, retention time.Duration) error {
	ns, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, searchAttributes)
	if err != nil {
		return err
	}
	ns.Detail.Config.Retention = durationpb.New(retention)
	return sqliteschema.CreateNamespaces(d.store(), ns)
}

// store says how the server opens the file. There is one shared connection, so
// reads and writes wait in the process, and never meet "database is locked".
func (d *database) store() *serverconfig.SQL {
	attributes := map[string]string{"mode": "rwc"}
	for k, v := range pragmas {
		attributes[k] = v
	}
	return &serverconfig.SQL{
		PluginName:        sqlite.PluginName,
		DatabaseName:      d.uriPath(),
		ConnectAttributes: attributes,
	}
}

func (d *database) dsn() string {
	q := url.Values{"mode": {"rwc"}, "_time_format": {"sqlite"}}
	for k, v := range pragmas {
		q.Add("_pragma", k+"="+v)
	}
	return "file:" + d.uriPath() + "?" + q.Encode()
}

// uriPath writes the path as SQLite's URIs need it, where "?", "#" and "%" have
// a meaning.
func (d *database) uriPath() string {
	return (&url.URL{Path: d.path}).EscapedPath()
}

// close writes the write-ahead log into the file, so that the file alone is a
// whole copy, and closes it. What it cannot write, the next start reads.
func (d *database) close(ctx context.Context) error {
	db, err := sql.Open("sqlite", d.dsn())
	if err == nil {
		_, err = db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
		err = errors.Join(err, db.Close())
	}
	return errors.Join(err, d.lock.Close())
}
