package unchanged_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keywave/internal/unchanged"
)

func TestSince(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	look := func() fs.FileInfo {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	write := func(to, text string, mode fs.FileMode) {
		t.Helper()
		if err := os.WriteFile(to, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(path, "one", 0o600)
	then := look()
	if !unchanged.Since(then, look()) || unchanged.Since(nil, then) {
		t.Error("a file that nobody touched has changed, or one that nobody read has not")
	}
	for what, change := range map[string]func() error{
		"its size": func() error { return os.Truncate(path, 1) },
		"its time": func() error { return os.Chtimes(path, time.Time{}, then.ModTime().Add(time.Second)) },
		"its mode": func() error { return os.Chmod(path, 0o640) },
		"the file": func() error {
			write(path+".new", "one", 0o600)
			if err := os.Chtimes(path+".new", time.Time{}, then.ModTime()); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		},
	} {
		write(path, "one", 0o600)
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, then.ModTime()); err != nil {
			t.Fatal(err)
		}
		before := look()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if unchanged.Since(before, look()) {
			t.Errorf("%s changed, and nobody sees it", what)
		}
	}
}
