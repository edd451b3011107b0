package report

import (
	"fmt"
	"strings"
)

// Image says which image a page is about. Zero fields are unknown, and the page leaves them out.
type Image struct {
	Name      string // as its user names it; empty for an image that is not made yet
	Digest    string
	Index     string // the digest of the index of several platforms that the image was found in
	Created   string // in RFC 3339
	Platforms []string
	Blobs     int64 // bytes of all blobs: what a machine without any of them fetches
	Unpacked  int64 // bytes of all visible parts
	Layers    int
	Paths     int      // store paths
	Base      string   // the base image
	Profiles  []string // store paths
	Source    string   // where the store paths come from, unless from an image
	Signers   []Signer
}

// Signer is a key whose signature an image or its store paths carry.
type Signer struct {
	Key      string
	Of       string // what it has signed, such as "3 of 7 store paths"
	Verified bool   // against a key that the user trusts
}

// fact is a property of an image.
type fact struct {
	name  string
	value func(Image) string
	long  bool // may need a line of its own
	code  bool // show it like code
}

// facts lists the properties that the page shows, in this order.
var facts = []fact{
	{"Name", func(i Image) string { return i.Name }, true, false},
	{"Digest", func(i Image) string { return i.Digest }, true, true},
	{"In the index", func(i Image) string { return i.Index }, true, true},
	{"Created", Image.created, false, false},
	{"Platform", func(i Image) string { return strings.Join(i.Platforms, ", ") }, false, false},
	{"Compressed", func(i Image) string { return known(i.Blobs) }, false, false},
	{"Unpacked", func(i Image) string { return known(i.Unpacked) }, false, false},
	{"Layers", func(i Image) string { return number(i.Layers) }, false, false},
	{"Store paths", func(i Image) string { return number(i.Paths) }, false, false},
	{"Base image", func(i Image) string { return i.Base }, true, false},
	{"Profile", func(i Image) string { return strings.Join(i.Profiles, ", ") }, true, true},
	{"Source", func(i Image) string { return i.Source }, true, false},
	{"Signatures", Image.signatures, true, false},
}

// epoch is the time at which images are created by default.
const epoch = "1970-01-01T00:00:01Z"

func (i Image) created() string {
	if i.Created == epoch {
		return "no time recorded"
	}
	return strings.Replace(strings.Replace(i.Created, "T", " ", 1), "Z", " UTC", 1)
}

func (i Image) signatures() string {
	var all []string
	for _, s := range i.Signers {
		words := s.Key + " (" + s.Of
		if !s.Verified {
			words += ", not verified"
		}
		all = append(all, words+")")
	}
	return strings.Join(all, ", ")
}

func known(n int64) string {
	if n == 0 {
		return ""
	}
	return size(n)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// identity writes what is known about the image, or about both images.
func (p page) identity(r *Report) {
	title := "Which image it is"
	if r.Previous != nil {
		title = "Which images they are"
	}
	p.put("<section id=\"which\">\n<h2>%s</h2>\n", title)
	defer p.WriteString("</section>\n")
	if r.Image.Digest == "" {
		p.WriteString("<p class=\"note\">This image is not made yet. It is the one that <code>export-profile image</code> would make.</p>\n")
	}
	if r.Previous != nil {
		p.sideBySide(r)
		return
	}
	p.WriteString("<dl class=\"facts\">\n")
	for _, f := range facts {
		value := f.value(r.Image)
		if value == "" {
			continue
		}
		wide, class := "", ""
		if f.long {
			wide = ` class="wide"`
		}
		if f.code {
			class = ` class="path"`
		}
		p.put("<div"+wide+"><dt>%s</dt><dd"+class+">%s</dd></div>\n", f.name, value)
	}
	p.WriteString("</dl>\n")
}

// sideBySide writes what both images are.
func (p page) sideBySide(r *Report) {
	p.tableOf("sides images", "The two images", "", "Before", "Now", "#Difference")
	was, is := r.Previous.Image, r.Image
	for _, f := range facts {
		before, now := f.value(was), f.value(is)
		if before == "" && now == "" {
			continue
		}
		class, difference := "", ""
		switch f.name {
		case "Compressed":
			difference = grown(was.Blobs, is.Blobs)
		case "Unpacked":
			difference = grown(was.Unpacked, is.Unpacked)
		case "Layers":
			difference = more(was.Layers, is.Layers)
		case "Store paths":
			difference = more(was.Paths, is.Paths)
		}
		if f.code {
			class = ` class="path"`
		}
		p.put("<tr><th scope=\"row\" class=\"short\">%s</th><td"+class+">%s</td><td"+class+">%s</td><td class=\"number\">%s</td></tr>\n",
			f.name, orDash(before), orDash(now), difference)
	}
	p.WriteString("</tbody>\n</table></div>\n")
}

// grown returns the difference of two sizes with its sign, or "" if one is unknown.
func grown(before, now int64) string {
	if before == 0 || now == 0 {
		return ""
	}
	return signed(now - before)
}

// more is like grown, for numbers.
func more(before, now int) string {
	if before == 0 || now == 0 {
		return ""
	}
	switch d := now - before; {
	case d < 0:
		return "−" + fmt.Sprint(-d)
	case d > 0:
		return "+" + fmt.Sprint(d)
	}
	return "0"
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
