package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// print prints the result for a person at a terminal, or as JSON.
func (d *doctor) print(t terminal, json bool) error {
	if json {
		return printJSON(t.out, d.doctorResult.withLists())
	}
	var b strings.Builder
	fmt.Fprintf(&b, "export-profile %s, %s\n", d.Version, d.Platform)
	for _, section := range []struct {
		about string
		facts []string
	}{
		{aboutStore, d.storeFacts()},
		{aboutPackages, d.packageFacts()},
		{aboutCache, d.cacheFacts()},
		{aboutRegistry, d.registryFacts()},
		{aboutTools, d.toolFacts()},
	} {
		fmt.Fprintf(&b, "\n%s\n", section.about)
		for _, fact := range section.facts {
			fmt.Fprintf(&b, "  %s\n", fact)
		}
		for _, p := range d.Problems {
			if p.About == section.about {
				fmt.Fprintf(&b, "  problem: %s\n", p.Problem)
				if p.Hint != "" {
					fmt.Fprintf(&b, "     hint: %s\n", p.Hint)
				}
			}
		}
	}
	d.printCommands(&b)
	_, err := io.WriteString(t.out, b.String())
	return err
}

// printCommands prints what to type.
func (d *doctor) printCommands(w io.Writer) {
	block := func(heading string, commands ...string) {
		fmt.Fprintf(w, "\n%s\n", heading)
		for _, c := range commands {
			fmt.Fprintf(w, "  %s\n", c)
		}
	}
	defer d.printImage(block)
	if len(d.Commands) == 0 {
		d.printNothing(block)
		return
	}
	if d.Dockerfile != nil {
		block("In a Dockerfile, if this is its stage called build:", d.Dockerfile...)
	}
	if len(d.Commands) == 1 {
		block("To make an image of "+d.Of+", as a layout in a directory:", d.Commands...)
	} else {
		block("To make an image of "+d.Of+" and run it:", d.Commands...)
	}
	if strings.HasSuffix(d.Commands[len(d.Commands)-1], "PROGRAM") {
		m, _ := d.material()
		block("PROGRAM is one of these:", "export-profile ls"+m.flags+" --depth 1 /run/profile/bin")
	}
	if d.Push != "" {
		block("To push it without a container tool:", d.Push)
	}
}

// nixosProfile has the packages of a NixOS system, without the system around them.
const nixosProfile = "/run/current-system/sw"

// printNothing says how to get something to make an image of.
func (d *doctor) printNothing(block func(heading string, commands ...string)) {
	if d.store != nil {
		dir := d.storeDir()
		block("There is a store here, but nothing says what of it the image should have. Make a result link, or name a store path:",
			"nix-build '<nixpkgs>' -A hello && export-profile doctor",
			"export-profile image --profile "+dir.String()+"/…-hello-1.0 oci:hello:v1")
		for _, system := range []string{nixosProfile, guixSystemProfile} {
			if exists(system) && dir.IsGuix() == (system == guixSystemProfile) {
				block("The packages of this system:", "export-profile image --profile "+system+" oci:system:v1")
			}
		}
	} else {
		block("There is nothing here to make an image of. On a machine with Nix or Guix, one of:",
			exportFrom(profile.KnownStoreDirs[0]), exportFrom(profile.KnownStoreDirs[1]))
		block("Then here, beside that file:", "export-profile doctor")
	}
	block("An image of a program that needs no packages:",
		"export-profile image --no-profile --add ./server:/bin/server --entrypoint /bin/server oci:server:v1")
}

// withLists returns the result with empty lists in place of null.
func (r doctorResult) withLists() doctorResult {
	r.Stores, r.Results, r.Sources = list(r.Stores), list(r.Results), list(r.Sources)
	r.Logins, r.Variables, r.Tools = list(r.Logins), list(r.Variables), list(r.Tools)
	r.Problems, r.Commands = list(r.Problems), list(r.Commands)
	return r
}

func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}

func (d *doctor) storeFacts() (facts []string) {
	for _, s := range d.Stores {
		switch {
		case s.Usable && d.storeDir().String() != s.Dir:
			facts = append(facts, fmt.Sprintf("%s, of %s: %s; --store-dir %[1]s reads it", s.Dir, s.Manager, count(s.Paths, "store path")))
		case s.Usable:
			facts = append(facts, fmt.Sprintf("%s, of %s: %s", s.Dir, s.Manager, count(s.Paths, "store path")))
		}
	}
	if len(d.Stores) == 0 {
		facts = append(facts, "none: there is no /nix/store and no /gnu/store")
	}
	return facts
}

func (d *doctor) packageFacts() (facts []string) {
	all := d.Results
	if d.Profile != nil {
		all = append([]foundProfile{*d.Profile}, all...)
	}
	for _, p := range all {
		if p.Path == "" {
			continue
		}
		if p.Image != "" {
			facts = append(facts, fmt.Sprintf("%s is the image %s, in %s", shortPath(p.Name), shellWord(p.Image), p.Path))
			continue
		}
		fact := fmt.Sprintf("%s is %s, with %s", shortPath(p.Name), p.Path, count(p.Programs, "program"))
		if p.Generation > 0 {
			fact += fmt.Sprintf("; generation %d, %d are kept", p.Generation, p.Generations)
		}
		facts = append(facts, fact)
	}
	for _, s := range d.Sources {
		facts = append(facts, fmt.Sprintf("%s here is %s", shellWord(s.Name), s.Form))
	}
	if len(facts) == 0 {
		facts = append(facts, "no profile, no result link, and no file here that --from reads")
	}
	return facts
}

func (d *doctor) cacheFacts() (facts []string) {
	c := &d.Cache
	switch {
	case c.Exists && c.Usable:
		facts = append(facts, fmt.Sprintf("%s: %s, %s", shortPath(c.Dir), count(c.Layers, "layer"), humanBytes(c.Bytes)))
	case c.Usable:
		facts = append(facts, fmt.Sprintf("%s: the first image will make it", shortPath(c.Dir)))
	}
	if c.Free > 0 {
		facts = append(facts, fmt.Sprintf("%s free for temporary files in %s", humanBytes(c.Free), shortPath(c.Spool)))
	}
	return facts
}

func (d *doctor) registryFacts() (facts []string) {
	for _, l := range d.Logins {
		registry := l.Registry
		if registry == "" {
			registry = "all others"
		}
		facts = append(facts, fmt.Sprintf("login for %s in %s", registry, l.place()))
	}
	if len(d.Logins) == 0 {
		facts = append(facts, "no logins")
	}
	if d.Certificates != "" {
		facts = append(facts, "certificates of authorities in "+shortPath(d.Certificates))
	}
	if len(d.Variables) > 0 {
		facts = append(facts, "set in the environment: "+strings.Join(d.Variables, ", "))
	}
	return facts
}

func (d *doctor) toolFacts() (facts []string) {
	for _, t := range d.Tools {
		facts = append(facts, t.String())
	}
	if len(d.Tools) == 0 {
		facts = append(facts, "none: an image can still go into a layout, a file or a registry")
	}
	return facts
}
