package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// part is the length of a field's digest among a host's parts.
const part = 4

// parts are short digests of the definition's fields, in their order. Later
// fields stand at the end; the parts of those that the host leaves out are
// missing.
func (h Host) parts() string {
	var all strings.Builder
	written := 0
	for _, f := range h.definition() {
		all.WriteString(f.part())
		if f.value != "" || !f.later {
			written = all.Len()
		}
	}
	return all.String()[:written]
}

func (f field) part() string {
	d := newDigest("keywave/v1 part")
	d.text(f.name, f.value)
	return d.sum()[:part]
}

// Differs names the fields, as the fleet file calls them, in which the host
// differs from the one whose parts a plan carries. It is nil when that cannot
// be told.
func (h Host) Differs(parts string) []string { return PartsDiffer(parts, h.parts()) }

// PartsDiffer names the fields in which the Parts of two HostRefs differ. It is
// nil when that cannot be told.
func PartsDiffer(old, now string) []string {
	fields := Host{}.definition()
	old, now = filled(old, fields), filled(now, fields)
	if old == "" || now == "" {
		return nil
	}
	var names []string
	for i, f := range fields {
		if at := i * part; old[at:at+part] != now[at:at+part] {
			names = append(names, f.name)
		}
	}
	return names
}

// filled adds the parts of later fields that were left out. It is empty when
// parts is not a list of parts.
func filled(parts string, fields []field) string {
	if parts == "" || len(parts)%part != 0 || len(parts) > len(fields)*part {
		return ""
	}
	for _, f := range fields[len(parts)/part:] {
		if !f.later {
			return ""
		}
		parts += (field{name: f.name}).part()
	}
	return parts
}

// digest fills in the digests of every host and of the fleet.
func (f *Fleet) digest() {
	all := newDigest("keywave/v1 fleet")
	if len(f.Accounts) > 1 {
		all = newDigest("keywave/v1 fleet of accounts")
		all.count(len(f.Accounts))
	}
	for _, a := range slices.SortedFunc(slices.Values(f.Accounts), func(a, b Account) int { return strings.Compare(string(a.Name), string(b.Name)) }) {
		all.text(string(a.Name), a.Endpoint)
	}
	all.count(len(f.Hosts))
	for _, name := range slices.Sorted(maps.Keys(f.Hosts)) {
		h := f.Hosts[name]
		h.Digest = h.digest()
		f.Hosts[name] = h
		all.text(h.Digest)
	}
	all.count(len(f.Zones))
	for _, z := range slices.SortedFunc(slices.Values(f.Zones), func(a, b Zone) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
		all.text(string(z.ID), z.Name)
		if len(f.Accounts) > 1 {
			all.text(string(z.Account))
		}
		all.count(len(z.Hosts))
		for _, h := range slices.Sorted(slices.Values(z.Hosts)) {
			all.text(string(h))
		}
		all.count(len(z.Labels))
		for _, key := range slices.Sorted(maps.Keys(z.Labels)) {
			all.text(key, z.Labels[key])
		}
	}
	f.Digest = all.sum()
}

func (h Host) digest() string {
	d := newDigest("keywave/v1 host")
	for _, part := range h.definition() {
		if part.value != "" || !part.later {
			d.text(part.name, part.value)
		}
	}
	return d.sum()
}

// digester hashes texts and counts. No two different sequences of them give the
// same bytes, because each text is preceded by its length, and each list by its
// count.
type digester struct{ h hash.Hash }

func newDigest(kind string) digester {
	d := digester{sha256.New()}
	d.text(kind)
	return d
}

func (d digester) count(n int) {
	d.h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
}

func (d digester) text(parts ...string) {
	for _, s := range parts {
		d.count(len(s))
		d.h.Write([]byte(s))
	}
}

// sum is the first 32 hex digits.
func (d digester) sum() string { return hex.EncodeToString(d.h.Sum(nil))[:32] }

// Mark names a fleet file that was read without its table, as workers read it:
// accounts, hosts, and the zones in the file or the place that they come from.
// A table is not part of the mark, because workers read it again when it
// changes.
func (f *Fleet) Mark() string {
	d := newDigest("keywave/v1 mark")
	d.text(f.Digest, filepath.Base(f.Source.CSV))
	if f.Source.EdgeOne != nil {
		d.text(f.Source.String())
	}
	return d.sum()[:markLength]
}

const markLength = 12
