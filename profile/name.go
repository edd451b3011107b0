package profile

import "strings"

// SplitName splits the name of a store path into the package's name and its version, which may be empty.
// Like Nix's builtins.parseDrvName, it splits at the first dash that no letter follows.
func SplitName(name string) (pname, version string) {
	for i := 0; i+1 < len(name); i++ {
		if c := name[i+1]; name[i] == '-' && !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}

// Find returns the objects whose store path, base name, hash or name is word,
// or else the objects whose package has that name.
func Find(infos []*Info, word string) []*Info {
	word = strings.TrimSuffix(word, "/")
	var exact, named []*Info
	for _, info := range infos {
		p := info.Path
		pname, _ := SplitName(p.Name())
		switch word {
		case string(p), p.Base(), p.Digest(), p.Name():
			exact = append(exact, info)
		case pname:
			named = append(named, info)
		}
	}
	if exact != nil {
		return exact
	}
	return named
}
