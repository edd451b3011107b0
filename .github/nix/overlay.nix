# An overlay of nixpkgs. It adds the program and exportProfile, whose functions make images with it.
{ revision ? null }:
final: prev:
let
  # The oldest Go that builds the program, as in go.mod.
  oldest = builtins.head (builtins.concatMap
    (line: if builtins.substring 0 3 line == "go " then [ (builtins.substring 3 (-1) line) ] else [ ])
    (final.lib.splitString "\n" (builtins.readFile ../../go.mod)));
  series = "${final.lib.versions.major oldest}${final.lib.versions.minor oldest}";
in
{
  export-profile = final.callPackage ./package.nix {
    inherit revision;
    buildGoModule =
      if final.lib.versionAtLeast final.go.version oldest then final.buildGoModule
      else final."buildGo${series}Module" or (throw "export-profile needs Go ${oldest}, and this nixpkgs has ${final.go.version}");
  };

  exportProfile = {
    buildImage = final.callPackage ./image.nix { };
    buildRootfs = final.callPackage ./rootfs.nix { };
  };
}
