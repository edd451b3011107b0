# closure says which store paths an image has with their closures: the packages of its profile, and the store paths
# that its config, links and added files mention.
#
# The result has the roots, for exportReferencesGraph, and lines of bash that set the array profiles to flags.
{ lib, runCommand, writeText }:
{ profile, configured, changes }:
let
  packages = map (package: "${package}") (lib.toList profile);

  inContainer = [ "cmd" "entrypoint" "env" "healthcheck" "label" "workdir" ];
  text = builtins.toJSON [
    (builtins.intersectAttrs (lib.genAttrs inContainer (_: null)) configured)
    (builtins.filter (change: change ? symlink) changes)
  ];

  # An added file is a copy. The image needs what it refers to, and not the original.
  prefix = "${builtins.storeDir}/";
  objectOf = add:
    let
      plain = builtins.unsafeDiscardStringContext add;
      base = builtins.head (builtins.split "[/:]" (lib.removePrefix prefix plain));
    in
    builtins.substring 0 (builtins.stringLength (prefix + base)) add; # keeps the context
  added = builtins.filter (lib.hasPrefix prefix) (map (change: "${change.add}") (builtins.filter (change: change ? add) changes));

  mentioning = lib.unique (lib.optional (builtins.hasContext text) "${writeText "image-config" text}" ++ map objectOf added);

  hashOf = object: builtins.substring 0 32 (baseNameOf (builtins.unsafeDiscardStringContext object));

  # A profile of nothing but references. Nix finds them in its file.
  references = runCommand "image-references"
    {
      __structuredAttrs = false; # gives the references as text, one file for each object
      inherit mentioning;
      exportReferencesGraph = lib.concatMap (object: [ "graph-${hashOf object}" object ]) mentioning;
    } ''
    for object in $mentioning; do
      while read -r path; do # a record has the path, its deriver, the number of references, and these
        read -r deriver
        read -r count
        for ((; count > 0; count--)); do
          read -r reference
          if [ "$path" = "$object" ] && [ "$reference" != "$object" ]; then echo "$reference"; fi
        done
      done < "graph-$(basename "$object" | cut -d - -f 1)"
    done > unsorted
    mkdir -p $out/nix-support
    sort -u unsorted > $out/nix-support/image-references
  '';
in
{
  roots = packages ++ lib.optional (mentioning != [ ]) "${references}";

  command = ''
    profiles=(${lib.concatStringsSep " " (map (package: "--profile ${package}") packages)})
  '' + lib.optionalString (mentioning != [ ]) ''
    if [ -s ${references}/nix-support/image-references ]; then profiles+=(--profile ${references}); fi
  '' + ''
    if [ ''${#profiles[@]} = 0 ]; then profiles=(--no-profile); fi
  '';
}
