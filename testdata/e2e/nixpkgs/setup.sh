# The builder of the stand-in's derivations: what nixpkgs' stdenv does before a buildCommand.
set -euo pipefail
if [ -e .attrs.sh ]; then # Nix 2.8 has a wrong path in NIX_ATTRS_SH_FILE
	source .attrs.sh
	for output in "${!outputs[@]}"; do export "$output=${outputs[$output]}"; done
	initialPath=${initialPath[*]} nativeBuildInputs=${nativeBuildInputs[*]:-}
fi
export PATH= HOME=/homeless-shelter
for package in $initialPath ${nativeBuildInputs:-}; do
	PATH=$PATH${PATH:+:}$package/bin
	if [ -e "$package/nix-support/setup-hook" ]; then source "$package/nix-support/setup-hook"; fi
done
if [ -n "${buildCommandPath:-}" ]; then source "$buildCommandPath"; else eval "$buildCommand"; fi
sleep 0.3 & # see debstore-builder.sh
