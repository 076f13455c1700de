package main

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// The server's schema is made for every search that anybody may want. It has 63
// indexes and two full-text tables for one table, to which each workflow writes
// three times. That was a sixth of the server's CPU time. A search without an
// index finds the same; it only reads more rows.

// indexes are the ones that are kept, because the UI, the CLI and Keywave
// search by them.
var indexes = []string{
	"default_idx", "by_workflow_id", "by_workflow_type", "by_status", "by_parent_workflow_id", "by_root_workflow_id",
	"by_temporal_scheduled_by_id", "by_temporal_namespace_division",
	"by_keyword_01", "by_keyword_02", "by_keyword_03", "by_keyword_04", // searchAttributes
}

// slim leaves the visibility table with only these indexes, and full-text
// tables with only the rows that have a text. It does not change a file that is
// slim already.
func slim(ctx context.Context, tx *sql.Tx) error {
	drop, err := names(ctx, tx, `SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'executions_visibility' AND sql IS NOT NULL`)
	if err != nil {
		return err
	}
	drop = slices.DeleteFunc(drop, func(name string) bool { return slices.Contains(indexes, name) })
	if len(drop) == 0 {
		return nil
	}
	var script strings.Builder
	for _, name := range drop {
		fmt.Fprintf(&script, "DROP INDEX %s;\n", name)
	}
	for _, suffix := range []string{"ai", "ad", "au"} {
		fmt.Fprintf(&script, "DROP TRIGGER executions_visibility_%s;\n", suffix)
	}
	for _, table := range []string{"executions_visibility_fts_text", "executions_visibility_fts_keyword_list"} {
		columns, err := names(ctx, tx, `SELECT name FROM pragma_table_info(?)`, table)
		if err != nil {
			return err
		}
		script.WriteString(fullText(table, columns))
	}
	_, err = tx.ExecContext(ctx, script.String())
	return err
}

func names(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]string, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		found = append(found, name)
	}
	return found, rows.Err()
}

// fullText fills a full-text table again with the rows that have a text in one
// of its columns, and keeps it up to date.
func fullText(table string, columns []string) string {
	of := func(row string) string { return row + "." + strings.Join(columns, ", "+row+".") }
	has := func(row string) string { return "COALESCE(" + of(row) + ") IS NOT NULL" }
	into := fmt.Sprintf("INSERT INTO %s (rowid, %s)", table, strings.Join(columns, ", "))
	out := fmt.Sprintf("INSERT INTO %s (%[1]s, rowid, %s)", table, strings.Join(columns, ", "))
	add := fmt.Sprintf("%s SELECT NEW.rowid, %s WHERE %s;", into, of("NEW"), has("NEW"))
	remove := fmt.Sprintf("%s SELECT 'delete', OLD.rowid, %s WHERE %s;", out, of("OLD"), has("OLD"))
	return strings.Join([]string{
		fmt.Sprintf("INSERT INTO %s (%[1]s) VALUES ('delete-all');", table),
		fmt.Sprintf("%s SELECT rowid, %s FROM executions_visibility v WHERE %s;", into, of("v"), has("v")),
		fmt.Sprintf("CREATE TRIGGER %s_insert AFTER INSERT ON executions_visibility WHEN %s BEGIN %s END;", table, has("NEW"), add),
		fmt.Sprintf("CREATE TRIGGER %s_delete AFTER DELETE ON executions_visibility WHEN %s BEGIN %s END;", table, has("OLD"), remove),
		fmt.Sprintf("CREATE TRIGGER %s_update AFTER UPDATE ON executions_visibility WHEN %s OR %s BEGIN %s %s END;", table, has("OLD"), has("NEW"), remove, add),
		"",
	}, "\n")
}
