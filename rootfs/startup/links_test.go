package startup

import "testing"

func TestIsOfGuix(t *testing.T) {
	for name, want := range map[string]bool{
		"/manifest": true, "/etc/profile": true, "/etc/ld.so.cache": true, "/share/icons/x/icon-theme.cache": true,
		"/bin/manifest": false, "/manifests": false, "/share/etc/profile": false, "": false,
	} {
		if got := isOfGuix(name); got != want {
			t.Errorf("isOfGuix(%q) = %v; want %v", name, got, want)
		}
	}
}
