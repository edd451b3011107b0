package base

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/internal/codec"
)

// factKey returns the key of the fact about base files. It covers everything on which they depend: the options and the parts of v.
// It is empty if a part or the base image has no key.
func factKey(v *rootfs.View, o Options) string {
	h := sha256.New()
	if o.Lower != nil {
		if o.Lower.Key == "" {
			return ""
		}
		fmt.Fprintf(h, "over %q\n", o.Lower.Key)
	}
	fmt.Fprintf(h, "%q %v %q %d:%d %d %d %d\n", o.Profiles, o.Bare, o.User.Name, o.User.UID, o.User.GID,
		len(o.Users), len(o.Groups), len(o.CAFiles))
	for _, a := range o.Users {
		fmt.Fprintf(h, "%q %d:%d %q %q\n", a.Name, a.UID, a.GID, a.Home, a.Shell)
	}
	for _, g := range o.Groups {
		fmt.Fprintf(h, "%q %d %q\n", g.Name, g.GID, g.Members)
	}
	for _, f := range o.CAFiles {
		fmt.Fprintf(h, "%x\n", sha256.Sum256(f))
	}
	var lines [][]byte
	var chunk []byte
	for p := range v.Parts() {
		if p.Key == "" {
			return ""
		}
		if most := len(p.Root) + len(p.Key) + len(`"" `+"\n"); cap(chunk)-len(chunk) < most { // thousands of lines share few allocations
			chunk = make([]byte, 0, max(most, 32<<10))
		}
		start := len(chunk)
		chunk = append(rootfs.AppendQuoted(chunk, p.Root), ' ')
		chunk = append(append(chunk, p.Key...), '\n')
		lines = append(lines, chunk[start:])
	}
	slices.SortFunc(lines, bytes.Compare)
	for _, line := range lines {
		h.Write(line)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// encodeBase encodes base files with their contents.
// Most paths are like the one before, and most targets follow from a mirror, so it encodes only the differences.
func encodeBase(b *builder, f *Files) []byte {
	out := codec.AppendString(nil, f.Key)
	for _, list := range [][]string{f.Env, f.DefaultEnv, f.Notes, f.Architectures} {
		out = codec.AppendNumber(out, uint64(len(list)))
		for _, s := range list {
			out = codec.AppendString(out, s)
		}
	}
	last := ""
	for e := range f.Tree {
		same := commonPrefix(last, e.Path)
		out = codec.AppendString(codec.AppendNumber(out, uint64(same)), e.Path[same:])
		last = e.Path
		for _, n := range []uint64{uint64(e.Mode), uint64(e.UID), uint64(e.GID)} {
			out = codec.AppendNumber(out, n)
		}
		i := slices.IndexFunc(b.mirrors, func(m rootfs.Mirror) bool { return m.Contains(e) })
		out = codec.AppendNumber(out, uint64(i+1))
		if i < 0 {
			out = codec.AppendString(out, e.Target)
		}
		out = codec.AppendString(out, string(b.contents[e.Path]))
	}
	return out
}

// decodeBase reverses encodeBase. It returns nil for a damaged fact:
// the decoded part must have the key that the fact says.
func decodeBase(fact []byte, store rootfs.StoreDir, o Options) *Files {
	if fact == nil {
		return nil
	}
	d := codec.NewReader(fact)
	key := d.String()
	f := &Files{store: store, profiles: o.Profiles}
	for _, list := range []*[]string{&f.Env, &f.DefaultEnv, &f.Notes, &f.Architectures} {
		for range d.Number() {
			s := d.String()
			if d.Err() != nil {
				return nil
			}
			*list = append(*list, s)
		}
	}
	b := newBuilder(nil, mirrors(o)...)
	b.store = store
	last := ""
	for d.More() {
		same := d.Number()
		if same > uint64(len(last)) {
			return nil
		}
		e := rootfs.Entry{Path: last[:same] + d.String(), Mode: fs.FileMode(d.Number()), UID: int(d.Number()), GID: int(d.Number())}
		last = e.Path
		switch i := d.Number(); {
		case i == 0:
			e.Target = d.String()
		case i > uint64(len(b.mirrors)) || !rootfs.Within(b.mirrors[i-1].Dst, e.Path):
			return nil
		default:
			e.Target = b.mirrors[i-1].Target(e.Path)
		}
		content := d.String()
		if d.Err() != nil || b.has(e.Path) {
			return nil
		}
		if e.IsRegular() {
			b.putFileOver(e, []byte(content))
			continue
		}
		b.files.Set(e)
	}
	if f.Part = b.part(o.Profiles); f.Key != key || len(f.Architectures) != len(o.Profiles) {
		return nil
	}
	return f
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
