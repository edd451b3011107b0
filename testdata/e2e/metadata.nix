# Packages with meta in all the forms that nixpkgs has or had, and a cycle.
let
  make = name: outputs: attrs: derivation {
    inherit name outputs;
    system = builtins.currentSystem;
    builder = "/bin/false"; # nothing may build them
  } // attrs // { inherit outputs; tests = abort "nothing needs this"; };
  mit = { spdxId = "MIT"; fullName = "MIT License"; shortName = "mit"; free = true; };
  asl20 = { spdxId = "Apache-2.0"; fullName = "Apache License 2.0"; };
  own = { fullName = "House rules (of the house)"; shortName = "house-rules"; url = "https://example.com/rules"; free = false; };
  src = make "source" [ "out" ] { };
in rec {
  # The usual form.
  usual = make "usual-1.2" [ "out" "dev" "man" ] {
    meta = {
      description = "Usual package\nof two lines"; homepage = "https://example.com/usual";
      license = mit;
      identifiers = { cpe = "cpe:2.3:a:example:usual:1.2:*:*:*:*:*:*:*"; cpeParts.vendor = "example"; purl = "pkg:generic/usual@1.2"; possibleCPEs = [ ]; };
      maintainers = [ { name = "Jane"; email = "jane@example.com"; } ];
    };
    src = src // { url = "mirror://example/usual-1.2.tar.gz"; urls = [ "mirror://example/usual-1.2.tar.gz" "https://example.com/usual-1.2.tar.gz" ]; };
    buildInputs = [ lists null [ strings ] "not a derivation" ];
  };
  # Lists, guessed CPEs, a repository.
  lists = make "lists-0.1" [ "out" ] {
    meta = {
      homepage = [ "https://example.com/a" "https://example.com/b" ];
      license = [ mit own "BSD-like" ];
      identifiers.possibleCPEs = [ { cpe = "cpe:2.3:a:lists:lists:0.1:*:*:*:*:*:*:*"; } { cpe = "cpe:2.3:a:lists:lists:0:1:*:*:*:*:*:*"; } { cpeParts = { }; } { cpe = "cpe:2.3:a:lists:lists:0+1:*:*:*:*:*:*:*"; } ];
    };
    src = src // { gitRepoUrl = "https://github.com/example/lists.git"; rev = "v0.1"; tag = null; url = "https://example.com/archive/v0.1.tar.gz"; };
    propagatedBuildInputs = [ usual cyclic ]; # a cycle
  };
  # Only strings; a URL with spaces is left out.
  strings = make "strings-2" [ "out" ] {
    meta = { license = "GPL, see COPYING"; homepage = "https://example.com/with space"; description = "ä \"quoted\""; };
    src = src // { gitRepoUrl = "https://example.com/strings.git"; rev = "refs/tags/2"; tag = "2"; };
  };
  # Expressions.
  compound = make "compound-3" [ "out" ] {
    meta.license = {
      licenseType = "compound"; operator = "OR";
      licenses = [
        mit
        { licenseType = "exception"; operator = "WITH"; license = asl20; exception = { spdxId = "LLVM-exception"; }; }
        { licenseType = "compound"; operator = "AND"; licenses = [ own { licenseType = "plus"; operator = "+"; license = { spdxId = "EUPL-1.1"; }; } ]; }
      ];
    };
    meta.homepage = throw "no homepage";
    paths = [ usual ];
  };
  # No meta, no source.
  bare = make "bare" [ "out" ] { };
  cyclic = make "cyclic-1" [ "out" ] { meta = { license = [ ]; description = ""; homepage = null; }; buildInputs = [ lists cyclic ]; };
  # nixpkgs throws for packages that are broken or unfree.
  broken = make "broken-1" [ "out" ] { outPath = throw "broken"; };
  unfree = throw "unfree";
}
