package verify

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The shapes are those of image-spec 1.1's schema, in which a required string may be empty and here may not,
// and what its text says of strings, versions and types. Null is right where docker writes it, which the text allows.
var (
	layoutShape = shape{kind: object, required: []string{"imageLayoutVersion"}, fields: map[string]shape{
		"imageLayoutVersion": exactly(ispec.ImageLayoutVersion),
	}}

	indexShape = shape{kind: object, required: []string{"schemaVersion", "manifests"}, fields: map[string]shape{
		"schemaVersion": version2,
		"mediaType":     exactly(ispec.MediaTypeImageIndex),
		"artifactType":  mediaType,
		"manifests":     {kind: array, items: &descriptor, most: maxImages},
		"subject":       descriptor,
		"annotations":   strs,
	}}

	manifestShape = shape{kind: object, required: []string{"schemaVersion", "config", "layers"}, fields: map[string]shape{
		"schemaVersion": version2,
		"mediaType":     exactly(ispec.MediaTypeImageManifest),
		"artifactType":  mediaType,
		"config":        descriptor,
		"layers":        {kind: array, items: &descriptor, least: 1, most: maxLayers},
		"subject":       descriptor,
		"annotations":   strs,
	}}

	configShape = shape{kind: object, required: []string{"architecture", "os", "rootfs"}, fields: map[string]shape{
		"created":      instant,
		"author":       {kind: text},
		"architecture": filled,
		"os":           filled,
		"os.version":   {kind: text},
		"os.features":  {kind: array, items: &shape{kind: text}},
		"variant":      {kind: text},
		"config": {kind: object, fields: map[string]shape{
			"User":         {kind: text},
			"ExposedPorts": {kind: object, null: true, values: &shape{kind: object}, key: checkPort},
			"Env":          {kind: array, null: true, items: &shape{kind: text, check: checkEnv}},
			"Entrypoint":   {kind: array, null: true, items: &shape{kind: text}},
			"Cmd":          {kind: array, null: true, items: &shape{kind: text}},
			"Volumes":      {kind: object, null: true, values: &shape{kind: object}},
			"WorkingDir":   {kind: text},
			"Labels":       {kind: object, null: true, values: &shape{kind: text}},
			"StopSignal":   {kind: text},
			"ArgsEscaped":  {kind: boolean},
		}},
		"rootfs": {kind: object, required: []string{"type", "diff_ids"}, fields: map[string]shape{
			"type":     exactly("layers"),
			"diff_ids": {kind: array, items: &shape{kind: text, check: checkDigest}, most: maxLayers},
		}},
		"history": {kind: array, null: true, items: &shape{kind: object, fields: map[string]shape{
			"created":     instant,
			"author":      {kind: text},
			"created_by":  {kind: text},
			"comment":     {kind: text},
			"empty_layer": {kind: boolean},
		}}},
	}}

	descriptor = shape{kind: object, required: []string{"mediaType", "digest", "size"}, fields: map[string]shape{
		"mediaType":    mediaType,
		"digest":       {kind: text, check: checkDigest},
		"size":         {kind: number, integer: checkSize},
		"urls":         {kind: array, items: &shape{kind: text, check: checkURL}},
		"data":         {kind: text},
		"artifactType": mediaType,
		"annotations":  strs,
		"platform": {kind: object, required: []string{"architecture", "os"}, fields: map[string]shape{
			"architecture": filled,
			"os":           filled,
			"os.version":   {kind: text},
			"os.features":  {kind: array, items: &shape{kind: text}},
			"variant":      {kind: text},
		}},
	}}

	strs      = shape{kind: object, values: &shape{kind: text}}
	filled    = shape{kind: text, check: checkFilled}
	instant   = shape{kind: text, check: checkTime}
	mediaType = shape{kind: text, check: checkMediaType}
	version2  = shape{kind: number, integer: checkVersion}
)

func exactly(want string) shape {
	return shape{kind: text, check: func(s string) error {
		if s != want {
			return fmt.Errorf("is %s, want %q", quote(s), want)
		}
		return nil
	}}
}

func checkFilled(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	return nil
}

func checkURL(s string) error {
	if u, err := url.Parse(s); err != nil || !u.IsAbs() {
		return fmt.Errorf("%s is not a URL", quote(s))
	}
	return nil
}

// timePattern refuses what time.Parse lets pass: an hour of one digit, and a comma.
var timePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`)
})

func checkTime(s string) error {
	if _, err := time.Parse(time.RFC3339, s); err != nil || !timePattern().MatchString(s) {
		return fmt.Errorf("%s is not a time as in RFC 3339", quote(s))
	}
	return nil
}

var mediaTypePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
})

func checkMediaType(s string) error {
	if !mediaTypePattern().MatchString(s) {
		return fmt.Errorf("%s is not a media type", quote(s))
	}
	return nil
}

func checkDigest(s string) error {
	if err := digest.Digest(s).Validate(); err != nil {
		return fmt.Errorf("%s: %w", quote(s), err)
	}
	return nil
}

func checkVersion(n int64) error {
	if n != 2 {
		return fmt.Errorf("is %d, want 2", n)
	}
	return nil
}

func checkSize(n int64) error {
	if n < 0 {
		return fmt.Errorf("%d is negative", n)
	}
	return nil
}

func checkEnv(s string) error {
	name, _, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return fmt.Errorf("%s: want NAME=VALUE", quote(s))
	}
	return nil
}

var portPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?$`)
})

func checkPort(s string) error {
	if !portPattern().MatchString(s) {
		return errors.New("want PORT[/PROTOCOL]")
	}
	return nil
}
