# Packages of the lab in place of those of nixpkgs. machine.nix, which TestNix writes, names them and this machine's Go.
{ system ? builtins.currentSystem }:
let
  lib = import ./lib.nix;
  machine = import ./machine.nix;

  extensible = packages: lib.fix (final: packages final // { extend = overlay: extensible (lib.extends overlay packages); });

  packages = final: {
    inherit lib;
    inherit (machine) bash coreutils curl cacert;
    go = { inherit (machine.go) version GOARCH; };
    runtimeShell = "${final.bash}/bin/bash";

    callPackage = file: arguments:
      let f = import file; in f (builtins.intersectAttrs (builtins.functionArgs f) final // arguments);

    stdenv = {
      hostPlatform = { inherit system; };
      buildPlatform = { inherit system; canExecute = platform: platform.system == system; };
      mkDerivation = arguments:
        let
          result = derivation (builtins.removeAttrs arguments [ "meta" "passthru" ] // {
            inherit system;
            name = arguments.name or "${arguments.pname}-${arguments.version}";
            builder = final.runtimeShell;
            args = [ ./setup.sh ];
            initialPath = [ final.coreutils ];
          });
        in
        result // { meta = arguments.meta or { }; } // arguments.passthru or { };
    };

    runCommand = name: arguments: buildCommand: final.stdenv.mkDerivation ({ inherit name buildCommand; } // arguments // {
      passAsFile = [ "buildCommand" ] ++ arguments.passAsFile or [ ];
    });
    writeText = name: text: final.runCommand name { inherit text; passAsFile = [ "text" ]; } ''
      cp "$textPath" $out
    '';
    writeShellScriptBin = name: text: final.runCommand name { text = "#!${final.runtimeShell}\n${text}\n"; passAsFile = [ "text" ]; meta.mainProgram = name; } ''
      mkdir -p $out/bin
      cp "$textPath" $out/bin/${name}
      chmod +x $out/bin/${name}
    '';

    installShellFiles = final.runCommand "install-shell-files" { } ''
      mkdir -p $out/nix-support
      cp ${./install-shell-files.sh} $out/nix-support/setup-hook
    '';

    # As in nixpkgs, one derivation vendors the modules, and must have the hash; the other builds with them.
    # Both use this machine's Go and its caches, outside a sandbox.
    buildGoModule = { pname, version, src, vendorHash, subPackages, ldflags, env, doCheck, nativeBuildInputs ? [ ], postInstall ? "", meta ? { } }:
      let
        setup = ''
          export PATH=${machine.go.root}/bin:$PATH GOMODCACHE=${machine.go.modules} GOCACHE=${machine.go.cache}
          export GOPROXY=off GOSUMDB=off GOTOOLCHAIN=local GOFLAGS= HOME=$PWD
          cp -r ${src} source
          chmod -R u+w source
          cd source
        '';
        goModules = final.runCommand "${pname}-${version}-go-modules"
          { __noChroot = true; outputHashMode = "recursive"; outputHash = vendorHash; } ''
          ${setup}
          go mod vendor
          cp -r vendor $out
        '';
      in
      assert !doCheck;
      final.stdenv.mkDerivation ({
        inherit pname version nativeBuildInputs meta;
        __noChroot = true;
        passthru = { inherit goModules; };
        buildCommand = ''
          ${setup}
          ln -s ${goModules} vendor
          export GOBIN=$out/bin
          go install -mod=vendor -trimpath -ldflags="${lib.concatStringsSep " " ldflags} -buildid=" ${toString (map (p: "./${p}") subPackages)}
          ${postInstall}
        '';
      } // env);
  };
in
extensible packages
