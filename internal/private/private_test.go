package private

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The rule, over every mode and who owns the file. The expectation is said in
// another way than the rule: by who else could get at the file.
func TestWhoElse(t *testing.T) {
	const us, ourGroup, fsGroup, root, stranger = 65532, 65532, 2000, 0, 1001
	reader := reader{us, []int{ourGroup, fsGroup}}
	accepted := 0
	for mode := fs.FileMode(0); mode <= 0o777; mode++ {
		for _, owner := range []int{us, root, stranger} {
			for _, group := range []int{ourGroup, fsGroup, root, stranger} {
				err := reader.check("hk.private.json", file{mode, owner, group})
				others := mode%8 != 0
				groupWrites, groupReads := mode>>3%8&^4 != 0, mode>>3%8 == 4
				byGroup := owner != us && (group == ourGroup || group == fsGroup)
				want := !others && !groupWrites && (!groupReads || byGroup)
				if (err == nil) != want {
					t.Errorf("mode %04o of %d:%d: %v", mode, owner, group, err)
				}
				if err == nil {
					accepted++
				} else if !strings.Contains(err.Error(), "chmod 600 hk.private.json") {
					t.Errorf("mode %04o of %d:%d: no remedy in %q", mode, owner, group, err)
				}
			}
		}
	}
	// 8 modes without any group, for 12 owners; 8 that the group reads, for 4 of them.
	if accepted != 8*12+8*4 {
		t.Errorf("%d are accepted", accepted)
	}
}

// A file of Kubernetes, and one of a person, as they are on disk.
func TestOnDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	path := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid, gid int
		mode     fs.FileMode
		good     bool
	}{
		{0, 0, 0o600, true},
		{0, 0, 0o440, false},         // ours, and its group reads it
		{65532, 0, 0o440, true},      // not ours, our group's
		{65532, 65532, 0o440, false}, // not ours, a group that we are not in
		{65532, 0, 0o444, false},     // everybody's
		{65532, 0, 0o460, false},     // our group writes
		{65532, 65532, 0o400, true},  // its owner's alone
	} {
		if err := os.Chown(path, c.uid, c.gid); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(path, info); (err == nil) != c.good {
			t.Errorf("%s: %v", fmt.Sprintf("%d:%d %04o", c.uid, c.gid, c.mode), err)
		}
	}
}
