package rootfs

import "testing"

// TestBaseKeyAccounts: where one field of an account ends and the next begins makes another key.
func TestBaseKeyAccounts(t *testing.T) {
	x := User{Name: "x", UID: 1000, GID: 1000}
	keys := make(map[string]string)
	for name, o := range map[string]Options{
		"none":                  {},
		"a user":                {Users: []Account{{x, "/a", "/b /c"}}},
		"a longer home":         {Users: []Account{{x, "/a /b", "/c"}}},
		"two users":             {Users: []Account{{x, "/a", "/b"}, {x, "/c", "/d"}}},
		"a user like two":       {Users: []Account{{x, "/a", "/b} {{x 1000 1000} /c /d"}}},
		"a large number":        {Users: []Account{{User{"x", 0x110000, 1}, "/a", "/b"}}},
		"another large number":  {Users: []Account{{User{"x", 0x110001, 1}, "/a", "/b"}}},
		"a group":               {Groups: []Group{{"g", 1, []string{"a", "b"}}}},
		"a group with a member": {Groups: []Group{{"g", 1, []string{"a b"}}}},
		"a group and an empty":  {Groups: []Group{{"g", 1, nil}, {"h", 2, nil}}},
		"a group like two":      {Groups: []Group{{"g", 1, []string{"]} {h 2 ["}}}},
	} {
		o.Profiles = []string{"nix/store/p"}
		key := NewView(nil, nil).baseKey(o)
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s have one key", name, other)
		}
		keys[key] = name
	}
}
