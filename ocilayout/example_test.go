package ocilayout_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/source"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/base"
)

// An export stream becomes an image. The digest is the one that
// `export-profile image --from testdata/basic.nix-export oci:hello:v1` prints.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()

	// The store, the profile in it, and everything that the profile needs.
	store, err := source.Open(ctx, []string{"../testdata/basic.nix-export"}, source.Options{SpoolDir: dir})
	check(err)
	defer store.Close()
	hello, err := profile.Default(ctx, store)
	check(err)
	closure, err := profile.FindClosure(ctx, store, hello.Path)
	check(err)

	// The files beside the store, such as /run/profile and /etc.
	objects := closure.Parts(ctx)
	files, err := base.New(rootfs.NewView(objects, nil), base.Options{Profiles: closure.Profiles()})
	check(err)
	arch, err := files.Architecture()
	check(err)

	// The layers, the image, and its name in the layout.
	layers, err := ocilayout.Plan(files.WithObjects(objects), plan.Options{})
	check(err)
	layout, err := ocilayout.Open(ctx, filepath.Join(dir, "hello"), ocilayout.Options{})
	check(err)
	defer layout.Close()
	image, err := layout.AddImage(ctx, ocilayout.ImageSpec{
		Config:   ispec.ImageConfig{Env: files.Env},
		Platform: ispec.Platform{OS: "linux", Architecture: arch},
		Layers:   layers,
	})
	check(err)
	check(layout.Publish(ctx, image, ocilayout.Name{Tag: "v1"}))
	fmt.Println(image.Digest)
	// Output: sha256:b554f8e9cf79398509f644aba9e5a31bd597efdf6fe28afaaf5fb6b09dc04431
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
