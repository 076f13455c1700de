package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keywave/internal/rotation"
	"keywave/internal/seal"
)

const intl rotation.Account = "intl"

// bound is for what the key of these tests is kept.
var bound = rotation.Bound{
	Zone: zone, Purpose: rotation.ForSwitch, Baseline: "0123456789abcdef",
	Minted: time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC),
}

func accountKeyring(t *testing.T, accounts ...rotation.Account) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keyring")
	for _, a := range accounts {
		if err := seal.CreateAccount(dir, a); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func kept(t *testing.T, k *seal.Keeper) []byte {
	t.Helper()
	b, err := k.Seal(bound, rotation.NewSecret(key))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func gets(t *testing.T, k *seal.Keeper, b []byte) {
	t.Helper()
	got, err := k.Open(bound, b)
	if err != nil {
		t.Fatal(err)
	}
	if got.Expose() != key {
		t.Fatal("another key came out than went in")
	}
}

func cannotUse(t *testing.T, what string, err error, says ...string) {
	t.Helper()
	var cannot *seal.CannotUseError
	if !errors.As(err, &cannot) {
		t.Errorf("%s: got %v, want a *CannotUseError", what, err)
		return
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %q does not say %q", what, err, part)
		}
	}
}

func TestKeptKeyRoundTrip(t *testing.T) {
	dir := accountKeyring(t, intl)
	k := seal.NewKeeper(dir, intl)
	a, b := kept(t, k), kept(t, k)
	if bytes.Equal(a, b) {
		t.Error("two seals of one key are equal, and show that the key did not change")
	}
	if bytes.Contains(a, []byte(key)) {
		t.Error("the kept key is in clear")
	}
	gets(t, k, a)
	gets(t, seal.NewKeeper(dir, intl), b)

	// A time comes back from Temporal in another zone, and without a monotonic
	// reading.
	inHongKong := bound
	inHongKong.Minted = bound.Minted.In(time.FixedZone("HKT", 8*3600))
	if _, err := k.Open(inHongKong, a); err != nil {
		t.Errorf("the same time in another zone: %v", err)
	}
}

func TestKeptKeyIsForOneUse(t *testing.T) {
	dir := accountKeyring(t, intl, "cn")
	k := seal.NewKeeper(dir, intl)
	b := kept(t, k)
	for what, change := range map[string]func(*rotation.Bound){
		"another zone":     func(to *rotation.Bound) { to.Zone = "zone-other" },
		"another purpose":  func(to *rotation.Bound) { to.Purpose = "other" },
		"another time":     func(to *rotation.Bound) { to.Minted = to.Minted.Add(time.Nanosecond) },
		"another baseline": func(to *rotation.Bound) { to.Baseline = "fedcba9876543210" },
		"an end":           func(to *rotation.Bound) { to.Until = to.Minted.Add(time.Hour) },
	} {
		other := bound
		change(&other)
		_, err := k.Open(other, b)
		cannotUse(t, what, err, string(other.Zone), "was sealed for another zone, purpose, time or baseline")
	}
	_, err := seal.NewKeeper(dir, "cn").Open(bound, b)
	cannotUse(t, "another account's keyset", err, `this worker's keyset of account "cn"`, "keywave keyring show", "cn.account.json")

	renamed := cloneAccount(t, dir, intl, "cn") // one and the same keyset
	_, err = seal.NewKeeper(renamed, "cn").Open(bound, b)
	cannotUse(t, "another account", err, "was sealed for another zone")
	_, err = k.Open(bound, []byte("no seal"))
	cannotUse(t, "no seal", err, "it is not a sealed key")
}

// A former key is bound to its end, which nobody moves.
func TestAFormerKeyIsBoundToItsEnd(t *testing.T) {
	k := seal.NewKeeper(accountKeyring(t, intl), intl)
	former := bound
	former.Purpose, former.Until = rotation.ForRollback, bound.Minted.Add(time.Hour)
	b, err := k.Seal(former, rotation.NewSecret(key))
	if err != nil {
		t.Fatal(err)
	}
	same := former
	same.Until = former.Until.In(time.FixedZone("HKT", 8*3600))
	if _, err := k.Open(same, b); err != nil {
		t.Errorf("the same end in another zone: %v", err)
	}
	for what, until := range map[string]time.Time{"later": former.Until.Add(time.Nanosecond), "earlier": former.Until.Add(-time.Hour), "no end": {}} {
		other := former
		other.Until = until
		_, err := k.Open(other, b)
		cannotUse(t, what, err, "was sealed for another zone, purpose, time or baseline")
	}
	former.Until = time.Time{}
	if _, err := k.Seal(former, rotation.NewSecret(key)); err == nil || !strings.Contains(err.Error(), "an end") {
		t.Errorf("a former key without an end: %v", err)
	}
}

// cloneAccount copies a keyset under another account's name.
func cloneAccount(t *testing.T, from string, was, is rotation.Account) string {
	t.Helper()
	var file map[string]json.RawMessage
	if err := json.Unmarshal(read(t, filepath.Join(from, string(was)+".account.json")), &file); err != nil {
		t.Fatal(err)
	}
	file["account"] = json.RawMessage(`"` + string(is) + `"`)
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	write(t, filepath.Join(to, string(is)+".account.json"), data, 0o600)
	return to
}

// Whoever has every public keyset, and every private one of locations, still
// cannot make a key that the account's workers take for theirs.
func TestNobodyElseCanKeepAKey(t *testing.T) {
	dir := keyring(t, hk)
	k := seal.NewKeeper(accountKeyring(t, intl), intl)
	_, err := k.Open(bound, sealed(t, sealer(t, dir, hk), hk))
	cannotUse(t, "a seal to a location", err, "it is sealed with key ")

	var file map[string]json.RawMessage
	if err := json.Unmarshal(read(t, filepath.Join(dir, "hk.private.json")), &file); err != nil {
		t.Fatal(err)
	}
	delete(file, "location")
	file["account"] = json.RawMessage(`"intl"`)
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	forged := t.TempDir()
	write(t, filepath.Join(forged, "intl.account.json"), data, 0o600)
	if _, err := seal.NewKeeper(forged, intl).Fingerprint(); err == nil || !strings.Contains(err.Error(), "is not one that keywave makes") {
		t.Errorf("a location's keyset as an account's: %v", err)
	}
}

func TestKeysAreKeptForSomethingOnly(t *testing.T) {
	k := seal.NewKeeper(accountKeyring(t, intl), intl)
	for what, change := range map[string]func(*rotation.Bound){
		"a zone":     func(to *rotation.Bound) { to.Zone = "" },
		"a purpose":  func(to *rotation.Bound) { to.Purpose = "" },
		"a time":     func(to *rotation.Bound) { to.Minted = time.Time{} },
		"a baseline": func(to *rotation.Bound) { to.Baseline = "" },
	} {
		without := bound
		change(&without)
		if _, err := k.Seal(without, rotation.NewSecret(key)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("without %s: %v", what, err)
		}
	}
	if _, err := k.Seal(bound, rotation.Secret{}); err == nil {
		t.Error("kept the absence of a key")
	}
}

func TestAccountKeysetRotationNeedsNoRestart(t *testing.T) {
	dir := accountKeyring(t, intl)
	k := seal.NewKeeper(dir, intl)
	before, first := kept(t, k), show(t, dir)[0].Primary
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	if err := seal.RotateAccount(dir, intl, start); err != nil {
		t.Fatal(err)
	}
	info := show(t, dir)[0]
	if info.Primary == first || len(info.Keys) != 2 || !info.Keys[0].Retired.Equal(start) || info.Problem != "" {
		t.Errorf("after a rotation: %+v", info)
	}
	after := kept(t, k)
	if wanted := binaryID(after); wanted != info.Primary {
		t.Errorf("it seals with key %d, the primary is %d", wanted, info.Primary)
	}
	gets(t, k, before)
	gets(t, seal.NewKeeper(dir, intl), after)
	if err := seal.RotateAccount(dir, intl, start.Add(seal.KeptAfterRotation+time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(bound, before); err == nil {
		t.Error("a key that was retired more than 30 days ago still opens")
	}
	gets(t, k, after)
}

func binaryID(b []byte) uint32 {
	return uint32(b[1])<<24 | uint32(b[2])<<16 | uint32(b[3])<<8 | uint32(b[4])
}

// An account that needs no keyset has none, and a worker that began without one
// takes it as soon as it is there. Then it stays in use.
func TestAccountKeysetMayComeLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keyring")
	k := seal.NewKeeper(dir, intl)
	const remedy = "`keywave keyring create --account intl`"
	_, sealing := k.Seal(bound, rotation.NewSecret(key))
	_, opening := k.Open(bound, []byte{1, 0, 0, 0, 1})
	_, looking := k.Fingerprint()
	for _, err := range []error{sealing, opening, looking} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%v, want fs.ErrNotExist and %s", err, remedy)
		}
	}
	if err := seal.CreateAccount(dir, intl); err != nil {
		t.Fatal(err)
	}
	b := kept(t, k)
	path := filepath.Join(dir, "intl.account.json")
	for _, breaks := range []func(){func() { write(t, path, []byte("{"), 0o600) }, func() { os.Remove(path) }} {
		breaks()
		gets(t, k, b)
		if _, err := k.Fingerprint(); err == nil {
			t.Error("a broken file is in order")
		}
	}
}

func TestAccountFileIsPrivate(t *testing.T) {
	dir := accountKeyring(t, intl)
	path := filepath.Join(dir, "intl.account.json")
	for at, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600} {
		info, err := os.Stat(at)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", at, got, want)
		}
	}
	for _, mode := range []fs.FileMode{0o640, 0o604} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := seal.NewKeeper(dir, intl).Fingerprint()
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if problem := show(t, dir)[0].Problem; !strings.Contains(problem, "chmod 600 ") {
			t.Errorf("Show says %q", problem)
		}
	}
}

func TestCreateAccountReplacesNothing(t *testing.T) {
	dir := accountKeyring(t, intl)
	path := filepath.Join(dir, "intl.account.json")
	before := read(t, path)
	if err := seal.CreateAccount(dir, intl); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "`keywave keyring rotate --account intl`") {
		t.Errorf("%v, want fs.ErrExist", err)
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the keyset was changed")
	}
	for _, a := range []rotation.Account{"..", "../x", "a/b", ".hidden", "-rf"} {
		if err := seal.CreateAccount(dir, a); err == nil {
			t.Errorf("CreateAccount accepted %q", a)
		}
		if _, err := seal.NewKeeper(dir, a).Fingerprint(); err == nil {
			t.Errorf("a keeper of %q", a)
		}
	}
	if err := seal.RotateAccount(dir, "cn", time.Now()); err == nil || !strings.Contains(err.Error(), "keywave keyring create --account cn") {
		t.Errorf("a rotation of what is not there: %v", err)
	}
}

func TestShowHasAccountsAfterLocations(t *testing.T) {
	dir := keyring(t, hk, eu)
	if err := seal.CreateAccount(dir, "cn"); err != nil {
		t.Fatal(err)
	}
	infos := show(t, dir)
	if len(infos) != 3 || infos[0].Location != eu || infos[1].Location != hk || infos[2].Account != "cn" {
		t.Fatalf("got %+v, want eu-west, hk and then cn", infos)
	}
	in := infos[2]
	if in.Location != "" || in.Public || !in.Private || in.Problem != "" || len(in.Keys) != 1 || in.Keys[0].ID != in.Primary || in.Keys[0].Created.IsZero() {
		t.Errorf("got %+v", in)
	}
	fingerprint, err := seal.NewKeeper(dir, "cn").Fingerprint()
	if err != nil || fingerprint != in.Fingerprint || len(fingerprint) != 16 {
		t.Errorf("a keeper says %q (%v), Show %q", fingerprint, err, in.Fingerprint)
	}
	if err := seal.RotateAccount(dir, "cn", time.Now()); err != nil {
		t.Fatal(err)
	}
	if show(t, dir)[2].Fingerprint == fingerprint {
		t.Error("another keyset has the same fingerprint")
	}
	write(t, filepath.Join(dir, "intl.account.json"), read(t, filepath.Join(dir, "cn.account.json")), 0o600)
	if problem := show(t, dir)[3].Problem; !strings.Contains(problem, `is the keyset of account "cn"`) {
		t.Errorf("another account's file: Problem is %q", problem)
	}
}

func TestNoErrorShowsAnAccountsKey(t *testing.T) {
	dir := accountKeyring(t, intl)
	path := filepath.Join(dir, "intl.account.json")
	whole := bytes.TrimSpace(read(t, path))
	var file struct {
		Keyset struct {
			Key []struct{ KeyData struct{ Value string } }
		}
	}
	if err := json.Unmarshal(whole, &file); err != nil || len(file.Keyset.Key) != 1 {
		t.Fatalf("the file has no key where it was looked for (%v)", err)
	}
	raw, err := base64.StdEncoding.DecodeString(file.Keyset.Key[0].KeyData.Value)
	if err != nil || len(raw) < 32 {
		t.Fatalf("%d bytes (%v)", len(raw), err)
	}
	forms := []string{file.Keyset.Key[0].KeyData.Value, string(raw), hex.EncodeToString(raw), key, base64.StdEncoding.EncodeToString([]byte(key))}
	silent := func(what string, said error) {
		t.Helper()
		if said == nil {
			return
		}
		for _, form := range forms {
			for part := range slices.Chunk([]byte(form), 12) {
				if len(part) == 12 && strings.Contains(said.Error(), string(part)) {
					t.Errorf("%s: the error shows a part of a key", what)
				}
			}
		}
	}
	k := seal.NewKeeper(dir, intl)
	b := kept(t, k)
	for i := range b {
		damaged := slices.Clone(b)
		damaged[i] ^= 0x40
		_, err := k.Open(bound, damaged)
		if err == nil {
			t.Fatalf("opened although byte %d is damaged", i)
		}
		silent("a damaged seal", err)
	}
	for i := 0; i < len(whole); i += 7 {
		damaged := slices.Clone(whole)
		damaged[i] = '"'
		write(t, path, damaged, 0o600)
		_, err := seal.NewKeeper(dir, intl).Fingerprint()
		silent("a damaged file", err)
		write(t, path, whole[:i], 0o600)
		_, err = seal.NewKeeper(dir, intl).Fingerprint()
		if err == nil {
			t.Fatalf("read a file of %d bytes out of %d", i, len(whole))
		}
		silent("a cut file", err)
	}
}
