package ocilayout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestConfigDocument checks that the config of an image without a health check has the bytes of ispec.Image.
func TestConfigDocument(t *testing.T) {
	at := time.Unix(1, 0).UTC()
	full := ispec.Image{
		Created: &at, Author: "a",
		Platform: ispec.Platform{Architecture: "arm", OS: "linux", OSVersion: "1", OSFeatures: []string{"f"}, Variant: "v7"},
		Config: ispec.ImageConfig{
			User: "1", ExposedPorts: map[string]struct{}{"1/tcp": {}}, Env: []string{"A=1"}, Entrypoint: []string{"e"}, Cmd: []string{"c"},
			//lint:ignore SA1019 every field has its turn
			Volumes: map[string]struct{}{"/v": {}}, WorkingDir: "/w", Labels: map[string]string{"l": "m"}, StopSignal: "INT", ArgsEscaped: true,
		},
		RootFS:  ispec.RootFS{Type: "layers"},
		History: []ispec.History{{Created: &at, CreatedBy: "x"}},
	}
	for _, image := range []ispec.Image{{}, full} {
		got, want := mustJSON(t, newConfigDocument(image, nil)), mustJSON(t, image)
		if !bytes.Equal(got, want) {
			t.Errorf("newConfigDocument has the JSON %s; want %s", got, want)
		}
	}
	var back struct {
		Config map[string]any `json:"config"`
	}
	h := &Healthcheck{Test: []string{"CMD", "true"}, Interval: time.Second, Retries: 2}
	if err := json.Unmarshal(mustJSON(t, newConfigDocument(full, h)), &back); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"Test": []any{"CMD", "true"}, "Interval": 1e9, "Retries": 2.0}
	if d := cmp.Diff(want, back.Config["Healthcheck"]); d != "" {
		t.Errorf("the health check in the config (-want +got):\n%s", d)
	}
}

// TestReadHealthcheck checks the forms of a health check in the images of other programs.
func TestReadHealthcheck(t *testing.T) {
	for _, test := range []struct {
		config string
		want   *Healthcheck
		wrong  bool
	}{
		{config: `{}`},
		{config: `{"Healthcheck":null}`},
		{config: `{"Healthcheck":{}}`},
		{config: `{"Healthcheck":{"Test":[]}}`},
		{config: `{"Healthcheck":{"Test":["NONE"]}}`},
		{config: `{"Healthcheck":{"Test":["CMD","true"],"Interval":5000000000,"Timeout":3000000,"StartPeriod":1000000,"StartInterval":2000000,"Retries":3}}`,
			want: &Healthcheck{[]string{"CMD", "true"}, 5 * time.Second, 3 * time.Millisecond, time.Millisecond, 2 * time.Millisecond, 3}},
		{config: `{"Healthcheck":{"Test":["CMD-SHELL","curl -f http://localhost || exit 1"]}}`,
			want: &Healthcheck{Test: []string{"CMD-SHELL", "curl -f http://localhost || exit 1"}}},
		{config: `{"Healthcheck":{"Test":["CMD-SHELL","true"]},"Shell":["/bin/bash","-c"]}`,
			want: &Healthcheck{Test: []string{"CMD", "/bin/bash", "-c", "true"}}},
		{config: `{"Healthcheck":{"Test":["CMD","true"]},"Shell":["/bin/bash","-c"]}`, want: &Healthcheck{Test: []string{"CMD", "true"}}},
		{config: `{"Healthcheck":{"Test":["true"]}}`, wrong: true},
		{config: `{"Healthcheck":{"Test":["CMD"]}}`, wrong: true},
		{config: `{"Healthcheck":{"Test":["CMD",""]}}`, wrong: true},
		{config: `{"Healthcheck":{"Test":["CMD-SHELL"]}}`, wrong: true},
		{config: `{"Healthcheck":{"Test":["CMD-SHELL","a","b"]}}`, wrong: true},
		{config: `{"Healthcheck":{"Test":["CMD","true"],"Retries":-1}}`, wrong: true},
		{config: `{"Healthcheck":{"Test":["CMD","true"],"Interval":1}}`, wrong: true},
		{config: `{"Healthcheck":{"Test":["CMD","true"],"Interval":-1000000000}}`, wrong: true},
		{config: `{"Healthcheck":{"Test":["CMD","true"],"Interval":"30s"}}`, wrong: true},
		{config: `{"Healthcheck":["CMD","true"]}`, wrong: true},
		{config: `{"Healthcheck":"true"}`, wrong: true},
	} {
		got, err := readHealthcheck(fmt.Appendf(nil, `{"config":%s}`, test.config))
		if d := cmp.Diff(test.want, got); d != "" || (err != nil) != test.wrong {
			t.Errorf("readHealthcheck(%s) = %+v, %v; want %+v", test.config, got, err, test.want)
		}
	}
}
