# Ten packages with names and CPEs as in nixpkgs, and one that needs them.
# For the sleep at the end of builders see debstore-builder.sh.
let
  make = name: attrs: meta: derivation ({
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    args = [ "-c" "set -e; export PATH=/usr/bin:/bin; mkdir $out; echo $name $needs > $out/content; sleep 0.3 &" ];
  } // attrs) // { inherit meta; };
  cpe = vendor: product: version: "cpe:2.3:a:${vendor}:${product}:${version}:*:*:*:*:*:*:*";
  one = name: vendor: product: version: make name { } { identifiers.cpe = cpe vendor product version; };
in rec {
  packages = [
    (one "coreutils-9.3" "gnu" "coreutils" "9.3")
    (one "curl-8.4.0" "haxx" "curl" "8.4.0")
    (one "glibc-2.38-44" "gnu" "glibc" "2.38")
    (one "krb5-1.20.2" "mit" "kerberos_5" "1.20.2")
    (make "libxml2-2.11.5" { } {
      identifiers.possibleCPEs = map (vendor: { cpe = cpe vendor "libxml2" "2.11.5"; }) [ "libxml2_project" "xmlsoft" ];
    })
    (make "nghttp2-1.57.0" { } { identifiers = { cpe = cpe "nghttp2" "nghttp2" "1.57.0"; purl = "pkg:github/nghttp2/nghttp2@v1.57.0"; }; })
    (one "openssl-3.0.12" "openssl" "openssl" "3.0.12")
    (one "python3-3.11.6" "python" "python" "3.11.6")
    (make "semver-7.3.4" { } { identifiers = { cpe = cpe "npmjs" "semver" "7.3.4"; purl = "pkg:npm/semver@7.3.4"; }; })
    (one "zlib-1.3" "zlib" "zlib" "1.3")
  ];
  scanned = make "scanned-1" { needs = packages; } { } // { buildInputs = packages; };
}
