package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"

	"github.com/jmoiron/sqlx"
	serverconfig "go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	persistence "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/resolver"
)

// Normally SQLite compiles a statement each time that the server runs it, and
// the driver starts a goroutine for each, to be able to interrupt it. Together
// that is a fifth of the server's CPU time. Running a statement takes less time
// than either.

// keepStatements puts a cache of compiled statements between the server and its
// file. The server opens the file once for each store and shares that handle.
// So the handle that it gives us is the one that it will use.
func keepStatements(store *serverconfig.SQL, dsn string) error {
	db, err := persistence.NewSQLDB(sqlplugin.DbKindMain, store, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	// It is not released: the server never closes it either.
	field := reflect.Indirect(reflect.ValueOf(db)).FieldByName("db")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*sqlx.DB]() {
		return errors.New("the server's store for SQLite is not built as it was in v1.32.1")
	}
	handle := (*sqlx.DB)(field.UnsafePointer())
	plain := handle.DB
	handle.DB = sql.OpenDB(connector{plain.Driver(), dsn})
	handle.DB.SetMaxOpenConns(1) // as the server does: see database.store
	handle.DB.SetMaxIdleConns(1)
	return plain.Close()
}

// connector opens connections that keep their statements.
type connector struct {
	driver driver.Driver
	dsn    string
}

func (c connector) Driver() driver.Driver { return c.driver }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	raw, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	plain, ok := raw.(plainConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's connection, a %T, lacks a method", raw), raw.Close())
	}
	return &conn{plainConn: plain, idle: map[string]statement{}}, nil
}

// plainConn is what the driver's connections can do and what is used unchanged.
type plainConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// statement is a compiled statement.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// conn is a connection with its compiled statements. Like every driver.Conn, it
// is used by one goroutine at a time.
type conn struct {
	plainConn
	idle map[string]statement // by their text; a statement that is running is not among them
}

// mostIdle bounds the cache. The server has some two hundred statements of its
// own; those that people's searches cause are unlimited.
const mostIdle = 500

func (c *conn) take(ctx context.Context, text string) (statement, error) {
	if s, ok := c.idle[text]; ok {
		delete(c.idle, text)
		return s, nil
	}
	s, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.(statement), nil
}

func (c *conn) give(text string, s statement) error {
	if _, twice := c.idle[text]; twice {
		return s.Close()
	}
	var err error
	if len(c.idle) >= mostIdle {
		err = c.forget()
	}
	c.idle[text] = s
	return err
}

func (c *conn) forget() error {
	var err error
	for text, s := range c.idle {
		err = errors.Join(err, s.Close())
		delete(c.idle, text)
	}
	return err
}

func (c *conn) Close() error { return errors.Join(c.forget(), c.plainConn.Close()) }

func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	result, err := s.ExecContext(context.WithoutCancel(ctx), args)
	return result, errors.Join(err, c.give(text, s))
}

func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	found, err := s.QueryContext(context.WithoutCancel(ctx), args)
	if err != nil {
		return nil, errors.Join(err, c.give(text, s))
	}
	return &rows{Rows: found, done: func() error { return c.give(text, s) }}, nil
}

// rows give their statement back when they are closed.
type rows struct {
	driver.Rows
	done func() error
}

func (r *rows) Close() error {
	err := r.Rows.Close()
	if r.done != nil {
		err = errors.Join(err, r.done())
		r.done = nil
	}
	return err
}

func (c *conn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	_, err := c.ExecContext(ctx, "BEGIN", nil)
	return tx{c}, err
}

// tx is the transaction that its connection is in.
type tx struct{ conn *conn }

func (t tx) end(how string) error {
	_, err := t.conn.ExecContext(context.Background(), how, nil)
	return err
}

// Commit leaves no transaction open, even when it fails.
func (t tx) Commit() error {
	err := t.end("COMMIT")
	if err != nil {
		_ = t.end("ROLLBACK") // this fails when SQLite has rolled back by itself
	}
	return err
}

func (t tx) Rollback() error { return t.end("ROLLBACK") }
