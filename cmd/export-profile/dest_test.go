package main

import "testing"

// TestLoadHint checks that a shell, podman and skopeo accept the command in the hint.
func TestLoadHint(t *testing.T) {
	for _, tt := range []struct{ dest, want string }{
		{"oci:hello:v1", "podman tag $(podman pull -q oci:hello:v1) hello:v1"},
		{"oci:./hello:v1", "podman tag $(podman pull -q oci:hello:v1) hello:v1"},
		{"oci:hello/:v1", "podman tag $(podman pull -q oci:hello:v1) hello:v1"},
		{"oci:sub//q:v1", "podman tag $(podman pull -q oci:sub/q:v1) q:v1"},
		{"oci:/srv/hello:v1", "podman tag $(podman pull -q oci:/srv/hello:v1) hello:v1"},
		{"oci:../hello:v1", "skopeo copy oci:../hello:v1 containers-storage:hello:v1"},
		{"oci:UPPER:v1", "skopeo copy oci:UPPER:v1 containers-storage:upper:v1"},
		{"oci:.hid:v1", "skopeo copy oci:.hid:v1 containers-storage:NAME"},
		{"oci:my images/x:v1", "skopeo copy 'oci:my images/x:v1' containers-storage:x:v1"},
		{"oci:it's:v1", `skopeo copy 'oci:it'\''s:v1' containers-storage:NAME`},
		{"oci-archive:x.tar:v1", "podman load -i x.tar, as localhost/v1:latest; --tag NAME:TAG gives it another name"},
		{"oci-archive:x.tar:Hello", "podman load -i x.tar; --tag NAME:TAG gives it a name"},
		{"oci-archive:x.tar:hello:v1", "podman load -i x.tar"},
		{"docker-archive:x.tar:v1", "podman load -i x.tar; --tag NAME:TAG gives it a name"},
		{"oci-archive:my file.tar", "podman load -i 'my file.tar'; --tag NAME:TAG gives it a name"},
	} {
		d, err := parseDestination(tt.dest, nil)
		if err != nil {
			t.Errorf("parseDestination(%q): %v", tt.dest, err)
			continue
		}
		if got := d.next(); got != "load it with: "+tt.want {
			t.Errorf("next of %q = %q; want %q", tt.dest, got, "load it with: "+tt.want)
		}
	}
}

// TestStrayDestination checks that words meant for a registry or for standard output become no directory.
func TestStrayDestination(t *testing.T) {
	for _, tt := range []struct{ dest, hint string }{
		{"localhost:5000/x:v1", "did you mean docker://localhost:5000/x:v1?"},
		{"127.0.0.1:5000/x", "did you mean docker://127.0.0.1:5000/x?"},
		{"registry.example.com/team/hello:v1", "did you mean docker://registry.example.com/team/hello:v1?"},
		{"localhost/team/hello:v1", "did you mean docker://localhost/team/hello:v1?"},
		{"docker//host/x", "did you mean docker://host/x?"},
		{"docker:/host/x", "did you mean docker://host/x?"},
		{"OCI:hello:v1", "did you mean oci:hello:v1?"},
		{"Docker-Archive:x.tar", "did you mean docker-archive:x.tar?"},
		{"-", "did you mean docker-archive:-?"},
		{"oci:-", "did you mean oci-archive:-?"},
		{"oci:hello@sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "as in oci:hello:v1"},
		{" ", "as in oci:hello:v1"},
		{"oci: :v1", "as in oci:hello:v1"},
	} {
		if _, err := parseDestination(tt.dest, nil); err == nil || hint(err) != tt.hint {
			t.Errorf("parseDestination(%q) = %v with the hint %q; want an error with the hint %q", tt.dest, err, hint(err), tt.hint)
		}
	}
	for _, dest := range []string{"hello", "hello:v1", "./hello.d/x:v1", "../x", "/srv/hello:v1", "images/hello:5000", "a.b:v1",
		"hello:registry.example.com/team/hello:v1", "oci:localhost/x"} {
		if _, err := parseDestination(dest, nil); err != nil {
			t.Errorf("parseDestination(%q): %v; want a layout", dest, err)
		}
	}
}

// TestRunHint checks that the hint after a push over plain HTTP pulls over plain HTTP.
func TestRunHint(t *testing.T) {
	for plain, want := range map[bool]string{
		true:  "run it with: podman run --rm --tls-verify=false localhost:5000/x:v1",
		false: "run it with: podman run --rm localhost:5000/x:v1",
	} {
		d, err := parseDestination("docker://localhost:5000/x:v1", nil)
		if err != nil {
			t.Fatal(err)
		}
		d.(*registryDestination).plain = plain
		if got := d.next(); got != want {
			t.Errorf("next after plain HTTP %v = %q; want %q", plain, got, want)
		}
	}
}
