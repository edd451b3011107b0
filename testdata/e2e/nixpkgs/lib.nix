# These functions of nixpkgs' lib, with their arguments and results.
let
  inherit (builtins) attrNames concatStringsSep elem elemAt filter foldl' genList isList isString listToAttrs replaceStrings split stringLength
    substring;
in
rec {
  inherit (builtins) concatMap concatStringsSep;

  optional = condition: x: if condition then [ x ] else [ ];
  optionalAttrs = condition: set: if condition then set else { };
  optionalString = condition: text: if condition then text else "";
  unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];
  toList = x: if isList x then x else [ x ];
  genAttrs = names: make: listToAttrs (map (name: { inherit name; value = make name; }) names);
  mapAttrs = builtins.mapAttrs;
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);

  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  removePrefix = prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  escape = replaceStrings [ "." "+" "*" "?" "(" ")" "[" "]" "{" "}" "^" "$" "|" "\\" ] [ "\\." "\\+" "\\*" "\\?" "\\(" "\\)" "\\[" "\\]" "\\{" "\\}" "\\^" "\\$" "\\|" "\\\\" ];
  splitString = separator: text: filter isString (split (escape separator) text);
  toLower =
    let
      upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
      lower = "abcdefghijklmnopqrstuvwxyz";
      letters = text: genList (i: substring i 1 text) (stringLength text);
    in
    replaceStrings (letters upper) (letters lower);
  escapeShellArg = argument: "'${replaceStrings [ "'" ] [ "'\\''" ] (toString argument)}'";
  escapeShellArgs = arguments: concatStringsSep " " (map escapeShellArg arguments);

  versionAtLeast = a: b: builtins.compareVersions a b >= 0;
  versions = {
    major = version: elemAt (builtins.splitVersion version) 0;
    minor = version: elemAt (builtins.splitVersion version) 1;
  };
  licenses.asl20.spdxId = "Apache-2.0";
  platforms.linux = [ "x86_64-linux" "aarch64-linux" "riscv64-linux" ];

  fix = f: let x = f x; in x;
  extends = overlay: f: final: let prev = f final; in prev // overlay final prev;
}
