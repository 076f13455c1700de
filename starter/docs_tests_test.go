package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that the docs name exists: a Go test or fuzz target, one of its
// named cases, or a script.
func TestDocsNameTestsThatExist(t *testing.T) {
	source := map[string]string{} // the file that has each test
	scripts := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if name := entry.Name(); name == "node_modules" || len(name) > 2 && name[0] == '.' {
				return filepath.SkipDir
			}
		case filepath.Ext(path) == ".txtar":
			scripts[filepath.Base(path)] = true
		case strings.HasSuffix(path, ".go"):
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range function.FindAllStringSubmatch(string(body), -1) {
				source[m[1]] += string(body)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)(?:/([^`]+))?`|`(\\w+\\.txtar)`")
	found := 0
	for _, file := range pages(t) {
		for _, m := range named.FindAllStringSubmatch(read(t, file), -1) {
			found++
			name, part, script := m[1], strings.ReplaceAll(m[2], "_", " "), m[3]
			switch {
			case script != "" && !scripts[script]:
				t.Errorf("%s: there is no script %s", file, script)
			case script == "" && source[name] == "":
				t.Errorf("%s: there is no test %s", file, name)
			case part != "" && !strings.Contains(source[name], part):
				t.Errorf("%s: %s has no case %q", file, name, part)
			}
		}
	}
	if found < 150 {
		t.Errorf("only %d tests were found in the docs", found)
	}
}
