package rootfs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
)

// baseKey is the key of the base files of all the parts that v sees:
// they depend on what is in them, on the options, and on nothing else.
// It is empty where one of the parts promises nothing.
func (v *View) baseKey(o Options) string {
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
	var lines []string
	for root, p := range v.parts {
		if p.Key == "" {
			return ""
		}
		lines = append(lines, fmt.Sprintf("%q %s\n", root, p.Key))
	}
	slices.Sort(lines)
	for _, line := range lines {
		h.Write([]byte(line))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// encodeBase spells base files, with the contents of all that are made up.
// Of paths and targets, most of which are alike, it spells the difference.
func encodeBase(b *builder, f *BaseFiles) []byte {
	out := appendString(nil, f.Key)
	for _, list := range [][]string{f.Env, f.DefaultEnv, f.Notes, f.Architectures} {
		out = binary.AppendUvarint(out, uint64(len(list)))
		for _, s := range list {
			out = appendString(out, s)
		}
	}
	last := ""
	for e := range f.Tree {
		same := commonPrefix(last, e.Path)
		out = appendString(binary.AppendUvarint(out, uint64(same)), e.Path[same:])
		last = e.Path
		for _, n := range []uint64{uint64(e.Mode), uint64(e.UID), uint64(e.GID)} {
			out = binary.AppendUvarint(out, n)
		}
		i := slices.IndexFunc(b.files.mirrors, func(m mirror) bool { return Within(m.dst, e.Path) && m.leads(e) })
		out = binary.AppendUvarint(out, uint64(i+1))
		if i < 0 {
			out = appendString(out, e.Target)
		}
		out = appendString(out, string(b.contents[e.Path]))
	}
	return out
}

// decodeBase is the inverse of encodeBase, and nil for an odd fact:
// the part that it makes must have the key that it was kept with.
func decodeBase(fact []byte, o Options) *BaseFiles {
	if fact == nil {
		return nil
	}
	d := factReader{fact}
	key := d.string()
	f := &BaseFiles{}
	for _, list := range []*[]string{&f.Env, &f.DefaultEnv, &f.Notes, &f.Architectures} {
		for range d.number() {
			s := d.string()
			if d.err() != nil {
				return nil
			}
			*list = append(*list, s)
		}
	}
	b := newBuilder(nil)
	b.files.mirrors = mirrors(o)
	last := ""
	for len(d.b) > 0 {
		same := d.number()
		if same > uint64(len(last)) {
			return nil
		}
		e := Entry{Path: last[:same] + d.string(), Mode: fs.FileMode(d.number()), UID: int(d.number()), GID: int(d.number())}
		last = e.Path
		switch i := d.number(); {
		case i == 0:
			e.Target = d.string()
		case i > uint64(len(b.files.mirrors)) || !Within(b.files.mirrors[i-1].dst, e.Path):
			return nil
		default:
			e.Target = b.files.mirrors[i-1].target(e.Path)
		}
		content := d.string()
		if d.err() != nil || b.has(e.Path) {
			return nil
		}
		if e.IsRegular() {
			b.fileOver(e, []byte(content))
			continue
		}
		b.files.set(e)
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
