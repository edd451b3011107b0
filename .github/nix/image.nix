# buildImage makes an image in a derivation. It runs export-profile in the sandbox, with the references that Nix writes there.
# The image has the digest that the command gives outside, with the same packages and flags.
{ lib, go, export-profile, runCommand, writeText, writeShellScriptBin }:
let
  configKeys = import ./config.nix { inherit lib; };
  closureOf = import ./closure.nix { inherit lib runCommand writeText; };

  # Other arguments set these flags, or they need what a sandbox does not have. The text says what to do instead.
  reserved = {
    profile = "use the argument profile";
    no-profile = "leave out the argument profile";
    base = "use the argument fromImage";
    tag = "use the arguments name and tag";
    platform = "use the argument architecture";
    changes = "use the argument changes";
    destination = "use the argument format";
    sbom = "use the argument sbom";
    from = "leave it out, since packages come from Nix";
    references = "leave it out, since references come from Nix";
    attest = "use image.copyTo -- --attest FILE, since a sandbox has no secret keys";
    cache = "use image.copyTo -- --cache DIR, since a sandbox has no cache";
  };
  checked = flags: lib.mapAttrs
    (flag: value: if reserved ? ${flag} then throw "buildImage does not take flags.${flag}: ${reserved.${flag}}" else value)
    flags;
in
{
  # The name of the image, such as "hello" or "registry.example.com/team/hello".
  name
  # Its tag. The default is the hash in the output's name.
, tag ? null
  # A package, or a list of packages. The image has their closures. Their files are below /run/profile, and in PATH and /etc.
, profile ? [ ]
  # The config, as dockerTools takes it: Cmd, Entrypoint, Env, ExposedPorts, Healthcheck, Labels, StopSignal, User, Volumes, WorkingDir.
  # The image has the closure of what it mentions, too.
, config ? { }
  # What else is in the image, in order: { add = "${./nginx.conf}:/etc/nginx/nginx.conf"; }, { mkdir = "/data:0750:101"; },
  # { symlink = "TARGET:DST"; }, { whiteout = "DST"; } or { layer = true; }. References in these files and links are followed.
, changes ? [ ]
  # The image to build upon: a layout, as buildImage makes it, or an oci-archive.
, fromImage ? null
  # Which image of fromImage, if it has several.
, fromImageTag ? null
, architecture ? go.GOARCH
  # The time in the config, such as "2027-01-31T12:00:00Z".
, created ? null
, maxLayers ? null
  # Other flags of export-profile image, as in its --file: { compression = "zstd"; add-user = [ "app:1000" ]; }.
, flags ? { }
  # What the output is: an OCI layout ("oci"), an "oci-archive" or a "docker-archive".
, format ? "oci"
  # "spdx" or "cyclonedx": the output sbom is a document of this kind.
, sbom ? null
, meta ? { }
, passthru ? { }
}:
let
  baseName = baseNameOf imageName; # podman takes no path with capitals
  imageName = lib.toLower name;
  imageTag = if tag != null then tag else
    builtins.substring 0 32 (baseNameOf (builtins.unsafeDiscardStringContext image.outPath));

  configured = configKeys config // checked flags;
  closure = closureOf { inherit profile configured changes; };
  imageFile = writeText "${baseName}-image.json" (builtins.toJSON (configured
    // { platform = "linux/${architecture}"; }
    // lib.optionalAttrs (changes != [ ]) { inherit changes; }
    // lib.optionalAttrs (created != null) { inherit created; }
    // lib.optionalAttrs (maxLayers != null) { max-layers = maxLayers; }));

  # These lines run in the derivation and in copyTo.
  command = closure.command + ''
    flags=(--file ${imageFile} "''${profiles[@]}")
  '' + lib.optionalString (fromImage != null) ''
    if [ -d ${fromImage} ]; then transport=oci; else transport=oci-archive; fi
    flags+=(--base "$transport:${fromImage}${lib.optionalString (fromImageTag != null) ":${fromImageTag}"}")
  '';

  script = program: text: writeShellScriptBin program ''
    set -euo pipefail
    ${command}
    copy() { ${export-profile}/bin/export-profile image "''${flags[@]}" "$@"; }
    ${text}
  '';

  image = runCommand (if format == "oci" then baseName else "${baseName}.tar") {
    __structuredAttrs = true; # gives NAR hashes with the references
    exportReferencesGraph.closure = closure.roots;
    unsafeDiscardReferences.out = true; # the image needs none of the packages in it
    nativeBuildInputs = [ export-profile ];
    outputs = [ "out" ] ++ lib.optional (sbom != null) "sbom";
    inherit meta;
    passthru = {
      inherit imageName imageTag;
      # These programs make the image from the store, without a layout, and take more flags of export-profile image.
      copyTo = script "copy-to" ''copy "$@"'';
      copyToRegistry = script "copy-to-registry" ''copy "docker://${imageName}:${imageTag}" "$@"'';
      copyToPodman = script "copy-to-podman" ''copy --tag "${imageName}:${imageTag}" docker-archive:- "$@" | podman load'';
      copyToDockerDaemon = script "copy-to-docker-daemon" ''copy --tag "${imageName}:${imageTag}" docker-archive:- "$@" | docker load'';
    } // passthru;
  } ''
    ${command}
    if [ "''${profiles[0]}" = --profile ]; then
      flags+=(--references "$NIX_BUILD_TOP/.attrs.json") # NIX_ATTRS_JSON_FILE is wrong in early versions of Nix
    fi
    ${lib.optionalString (sbom != null) ''flags+=(--sbom "${sbom}:$sbom")''}
    tag=${if tag == null then "$(basename $out | cut -c -32)" else lib.escapeShellArg tag}
    TERM=dumb export-profile image --no-cache "''${flags[@]}" --tag "${imageName}:$tag" "${format}:$out"
  '';
in
if builtins.elem format [ "oci" "oci-archive" "docker-archive" ] then image
else throw "buildImage: there is no format ${format}: want oci, oci-archive or docker-archive"
