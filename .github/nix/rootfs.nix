# buildRootfs makes a root filesystem, as one tar, in a derivation. It runs export-profile rootfs as buildImage runs image.
{ lib, export-profile, runCommand, writeText }:
let
  closureOf = import ./closure.nix { inherit lib runCommand writeText; };

  words = flag: value:
    if builtins.isList value then lib.concatMap (words flag) value
    else if value == true then [ "--${flag}" ]
    else [ "--${flag}=${toString value}" ];
  wordsOf = set: builtins.concatLists (lib.mapAttrsToList words set);
in
{
  name
  # A package, or a list of packages.
, profile ? [ ]
  # As in buildImage.
, changes ? [ ]
  # Other flags of export-profile rootfs: { user = "app:1000"; compression = "zstd"; }.
, flags ? { }
, meta ? { }
, passthru ? { }
}:
let
  closure = closureOf { inherit profile changes; configured = flags; };
  arguments = lib.concatMap wordsOf changes ++ wordsOf flags;
in
runCommand "${name}.tar" {
  __structuredAttrs = true;
  exportReferencesGraph.closure = closure.roots;
  unsafeDiscardReferences.out = true;
  nativeBuildInputs = [ export-profile ];
  inherit meta passthru;
} ''
  ${closure.command}
  flags=("''${profiles[@]}" ${lib.escapeShellArgs arguments})
  if [ "''${profiles[0]}" = --profile ]; then flags+=(--references "$NIX_BUILD_TOP/.attrs.json"); fi
  TERM=dumb export-profile rootfs --no-cache "''${flags[@]}" tar:$out
''
