// Package private has the one rule of which files are private enough to hold a
// key: private keysets and SSH identities obey it alike.
package private

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Check refuses the file at path when others than we may read or write it.
func Check(path string, info fs.FileInfo) error {
	return us().check(path, ofFile(info))
}

// ReadFile reads a file that Check lets pass.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := Check(path, info); err != nil {
		return nil, err
	}
	return io.ReadAll(f)
}

// reader is who reads a file: a user and all of its groups.
type reader struct {
	user   int
	groups []int
}

// file is what decides of a file.
type file struct {
	mode         fs.FileMode
	owner, group int
}

// us is this process.
func us() reader {
	groups, _ := os.Getgroups()
	return reader{os.Geteuid(), append(groups, os.Getegid())}
}

// check is the rule. Others have no access, and the group at most reads: this it
// may where the file is not ours, and its group is one of ours. So Kubernetes
// gives a pod its secret files: they are root's, and the pod's fsGroup reads them.
// A file of our own needs no group, because we read it as its owner.
func (r reader) check(path string, f file) error {
	mode := f.mode.Perm()
	if mode&0o077 == 0 || mode&0o037 == 0 && f.owner != r.user && slices.Contains(r.groups, f.group) {
		return nil
	}
	if f.owner == r.user {
		return fmt.Errorf("%s has mode %04o, open to others than its owner; run `chmod 600 %s`", path, mode, path)
	}
	return fmt.Errorf("%s has mode %04o and is user %d's, group %d's, open to others than us, user %d with the groups %v; run `chmod 600 %s` and chown it to user %d, and in a pod set defaultMode: 0400 and fsGroup",
		path, mode, f.owner, f.group, r.user, r.groups, path, r.user)
}
