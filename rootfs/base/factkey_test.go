package base

import (
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestFactKeyFields checks that each field of Options changes the key of the fact about base files.
// Otherwise a new option would have no effect if there is already a fact about the profile.
func TestFactKeyFields(t *testing.T) {
	v := rootfs.NewView(nil, nil)
	first, others := variants(t, "Options", reflect.TypeFor[Options]())
	keys := map[string]string{factKey(v, first.Interface().(Options)): "the first value"}
	for _, o := range others {
		key := factKey(v, o.value.Interface().(Options))
		if had, ok := keys[key]; ok {
			t.Errorf("another %s has the key of %s: factKey ignores it", o.field, had)
		}
		keys[key] = o.field
	}
}

// variant is a value that differs from the first one in a single field.
type variant struct {
	field string
	value reflect.Value
}

// variants returns a value of a type, and values that each differ from it in one field.
func variants(t *testing.T, field string, typ reflect.Type) (first reflect.Value, others []variant) {
	t.Helper()
	first = reflect.New(typ).Elem()
	add := func(field string, change func(v reflect.Value)) {
		v := reflect.New(typ).Elem()
		v.Set(first)
		change(v)
		others = append(others, variant{field, v})
	}
	switch {
	case typ == reflect.TypeFor[*rootfs.Lower](): // its Key promises the rest
		first.Set(reflect.ValueOf(rootfs.NewLower("sha256:a")))
		add(field, func(v reflect.Value) { v.SetZero() })
		add(field+".Key", func(v reflect.Value) { v.Set(reflect.ValueOf(rootfs.NewLower("sha256:b"))) })
	case typ.Kind() == reflect.Bool:
		add(field, func(v reflect.Value) { v.SetBool(true) })
	case typ.Kind() == reflect.String:
		first.SetString("a")
		add(field, func(v reflect.Value) { v.SetString("b") })
	case first.CanInt():
		first.SetInt(1)
		add(field, func(v reflect.Value) { v.SetInt(2) })
	case first.CanUint():
		first.SetUint(1)
		add(field, func(v reflect.Value) { v.SetUint(2) })
	case typ.Kind() == reflect.Slice:
		element, more := variants(t, field+"[0]", typ.Elem())
		none := first
		first = reflect.Append(none, element)
		add(field+" without elements", func(v reflect.Value) { v.SetZero() })
		add(field+" with two elements", func(v reflect.Value) { v.Set(reflect.Append(v, element)) })
		for _, m := range more {
			add(m.field, func(v reflect.Value) { v.Set(reflect.Append(none, m.value)) })
		}
	case typ.Kind() == reflect.Struct:
		type fieldVariant struct {
			index int
			variant
		}
		var all []fieldVariant
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() {
				t.Fatalf("%s.%s: this test cannot set an unexported field", field, f.Name)
			}
			value, more := variants(t, fmt.Sprintf("%s.%s", field, f.Name), f.Type)
			first.Field(i).Set(value)
			for _, m := range more {
				all = append(all, fieldVariant{i, m})
			}
		}
		for _, m := range all {
			add(m.field, func(v reflect.Value) { v.Field(m.index).Set(m.value) })
		}
	default:
		t.Fatalf("%s: this test cannot set a %v", field, typ)
	}
	return first, others
}

// TestFactKeyPinned checks that keys stay the same, since caches outlive a release.
func TestFactKeyPinned(t *testing.T) {
	o := Options{
		Profiles: []string{"nix/store/p", "nix/store/q"},
		User:     User{Name: "app", UID: 1000, GID: 100},
		Users:    []Account{{User{Name: "www", UID: 33, GID: 34}, "/var/www", "/bin/false"}},
		Groups:   []Group{{"g", 1, []string{"app", "www"}}},
		CAFiles:  [][]byte{[]byte("a certificate")},
		Lower:    rootfs.NewLower("sha256:below"),
	}
	parts := []rootfs.Part{{Root: "nix/store/q", Key: "sha256:2"}, {Root: "nix/store/p", Key: "sha256:1"}}
	const want = "sha256:f7d598c6fe0b01d0be779434b615926f0ea9370a59fadd158d86f1f66f397c68"
	if got := factKey(rootfs.NewView(parts, nil), o); got != want {
		t.Errorf("factKey = %s; want %s", got, want)
	}
}

// TestFactKeyAccounts checks that accounts with the same characters in other fields have different keys.
func TestFactKeyAccounts(t *testing.T) {
	x := User{Name: "x", UID: 1000, GID: 1000}
	keys := make(map[string]string)
	for name, o := range map[string]Options{
		"none":                  {},
		"a user":                {Users: []Account{{x, "/a", "/b /c"}}},
		"a longer home":         {Users: []Account{{x, "/a /b", "/c"}}},
		"two users":             {Users: []Account{{x, "/a", "/b"}, {x, "/c", "/d"}}},
		"a user like two":       {Users: []Account{{x, "/a", "/b} {{x 1000 1000} /c /d"}}},
		"a large number":        {Users: []Account{{User{Name: "x", UID: 0x110000, GID: 1}, "/a", "/b"}}},
		"another large number":  {Users: []Account{{User{Name: "x", UID: 0x110001, GID: 1}, "/a", "/b"}}},
		"a group":               {Groups: []Group{{"g", 1, []string{"a", "b"}}}},
		"a group with a member": {Groups: []Group{{"g", 1, []string{"a b"}}}},
		"a group and an empty":  {Groups: []Group{{"g", 1, nil}, {"h", 2, nil}}},
		"a group like two":      {Groups: []Group{{"g", 1, []string{"]} {h 2 ["}}}},
	} {
		o.Profiles = []string{"nix/store/p"}
		key := factKey(rootfs.NewView(nil, nil), o)
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		keys[key] = name
	}
}

// TestFactKeyOptions checks that other options or other parts have another key.
func TestFactKeyOptions(t *testing.T) {
	facts := &rootfs.Facts{Dir: t.TempDir()}
	var count rootfstest.Counts
	keys := make(map[string]string)
	for name, test := range map[string]struct {
		o     Options
		lines []string
	}{
		"plain":      {Options{Profiles: []string{"nix/store/p"}}, factLines},
		"bare":       {Options{Profiles: []string{"nix/store/p"}, Bare: true}, factLines},
		"other":      {Options{Profiles: []string{"nix/store/q"}}, factLines},
		"both":       {Options{Profiles: []string{"nix/store/p", "nix/store/q"}}, factLines},
		"user":       {Options{Profiles: []string{"nix/store/p"}, User: User{Name: "a", UID: 1, GID: 1}}, factLines},
		"group":      {Options{Profiles: []string{"nix/store/p"}, User: User{Name: "a", UID: 1, GID: 2}}, factLines},
		"ca":         {Options{Profiles: []string{"nix/store/p"}, CAFiles: [][]byte{[]byte("x")}}, factLines},
		"fewer":      {Options{Profiles: []string{"nix/store/p"}}, factLines[:len(factLines)-1]},
		"no profile": {Options{Profiles: []string{"nix/store/r"}}, factLines},
	} {
		v := rootfs.NewView(rootfstest.CountedParts(t, &count, test.lines...), facts)
		key := factKey(v, test.o)
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		keys[key] = name
	}
	keyless := rootfstest.Parts(t, factLines...)
	if key := factKey(rootfs.NewView(keyless, facts), Options{Profiles: []string{"nix/store/p"}}); key != "" {
		t.Errorf("parts without keys: factKey = %q", key)
	}
	if _, err := New(rootfs.NewView(keyless, facts), Options{Profiles: []string{"nix/store/p"}}); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(facts.Dir); len(left) > 0 {
		t.Errorf("parts without keys left the facts %v", left)
	}
}
