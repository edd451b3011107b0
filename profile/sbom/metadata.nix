# Writes the metadata of packages for export-profile --metadata, from their meta as nixpkgs has it:
#
#   nix-instantiate --eval --strict --json metadata.nix --arg packages 'with import <nixpkgs> { }; [ hello openssl ]' > metadata.json
#
# packages are derivations. Each of their outputs has an entry, and so have the outputs of their buildInputs,
# propagatedBuildInputs and paths, and of the C library and compiler, at any depth. Nothing is built.
# supplier is the organization that provides the packages, such as "NixOS".
# mirrors resolves sources such as mirror://gnu/hello.tar.gz: import <nixpkgs/pkgs/build-support/fetchurl/mirrors.nix>.
{ packages, supplier ? null, mirrors ? { } }:
with builtins;
let
  flat = x: if ! (tryEval (isList x)).success then [ ] else if isList x then concatMap flat x else if x == null then [ ] else [ x ];
  first = l: if l == [ ] then null else head l;
  try = x: let t = tryEval x; in if t.success then t.value else null; # nixpkgs throws for what is broken or unfree
  given = s: removeAttrs s (filter (n: elem s.${n} [ null [ ] "" ]) (attrNames s));
  text = x: if isString x then replaceStrings [ "\n" "\t" "\r" ] [ " " " " " " ] (unsafeDiscardStringContext x) else null;
  matching = form: l: filter (x: x != null && match form x != null) (map text (flat l));
  chars = "([A-Za-z0-9._~!$&'()*+,;=:@/?#-]|%[0-9A-Fa-f][0-9A-Fa-f])";
  urls = matching "[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._~@-]+(:[0-9]+)?([/?#]${chars}*)?";

  id = l: "LicenseRef-" + concatStringsSep "-" (filter isString (split "[^A-Za-z0-9.]+" (l.shortName or l.fullName or "unknown")));
  spdx = l: # nixpkgs has expressions of licences since 26.05
    if l ? licenses then "(${concatStringsSep " ${l.operator} " (map spdx l.licenses)})"
    else if l ? exception then "${spdx l.license} WITH ${spdx l.exception}"
    else if l ? license then "${spdx l.license}+"
    else l.spdxId or (id l);
  license = l:
    if l ? spdxId || l ? operator then { spdx = spdx l; }
    else given { name = text (l.fullName or l.shortName or l); url = first (urls (l.url or null)); };
  source = src:
    let
      commits = map (c: "git+${src.gitRepoUrl}@${c}") (filter (c: src ? gitRepoUrl && isString c) [ (src.tag or null) (src.rev or null) ]);
      mirrored = url: let m = match "mirror://([^/]+)/(.*)" url; in if m == null then url else map (to: to + elemAt m 1) (mirrors.${head m} or [ ]);
    in first (urls [ commits (map mirrored (flat (src.urls or src.url or null))) ]);
  entry = p: let m = p.meta or { }; i = m.identifiers or { }; in given (mapAttrs (_: x: try (deepSeq x x)) {
    licenses = map license (flat (m.license or null));
    cpes = matching "cpe:2[.]3:[aho*-](:([A-Za-z0-9._*?-]|\\\\[^A-Za-z0-9])+){10}" (if i.cpe or null != null then i.cpe else map (c: c.cpe or null) (i.possibleCPEs or [ ]));
    purl = first (matching "pkg:[A-Za-z][A-Za-z0-9.+-]*/${chars}+" (i.purl or null));
    homepage = first (urls (m.homepage or null));
    source = source (p.src or { });
    description = text (m.description or null);
    supplier = if supplier == null then null else { name = supplier; };
  });

  works = x: try (isAttrs x && x.type or null == "derivation" && isString x.outPath) == true;
  nodes = xs: map (p: { key = p.outPath; inherit p; }) (filter works (flat xs));
  inputs = p: map try [ (p.buildInputs or null) (p.propagatedBuildInputs or null) (p.paths or null) (p.stdenv.cc.libc or null) (p.stdenv.cc.cc or null) ];
  all = genericClosure { startSet = nodes packages; operator = n: nodes (inputs n.p); };
  outputs = n: map (o: { name = unsafeDiscardStringContext n.p.${o}.outPath; value = entry n.p; }) (n.p.outputs or [ "out" ]);
in { version = 1; packages = listToAttrs (concatMap outputs all); }
