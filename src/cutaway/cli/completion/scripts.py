"""The script of each shell: hand the words over, show the candidates."""

BASH = r"""# cutaway completion for bash: source <(cutaway completion bash)

# Puts the words up to the cursor into `words`, not split at `:` and `=` as bash splits them.
_cutaway_words() {
    local rest=${COMP_LINE:0:COMP_POINT} word i
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $rest == [[:space:]]* || -z $rest ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("")
        fi
        [[ $i -lt $COMP_CWORD && ${rest:0:${#word}} == "$word" ]] || word=$rest
        words[${#words[@]} - 1]+=$word
        rest=${rest:${#word}}
    done
}

_cutaway() {
    local words answer line cut last
    _cutaway_words
    mapfile -t answer < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    last=${words[${#words[@]} - 1]}
    if [[ ${answer[0]} == files ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "${last##*[=]}")
        return
    fi
    [[ ${answer[0]} == nospace ]] && compopt -o nospace 2>/dev/null
    cut=${last%"${last##*[:=]}"}
    for line in "${answer[@]:1}"; do
        line=${line%%$'\t'*}
        COMPREPLY+=("${line#"$cut"}")
    done
}

complete -o nosort -F _cutaway cutaway
"""

ZSH = r"""#compdef cutaway
# cutaway completion for zsh: source <(cutaway completion zsh), or put it in $fpath as _cutaway

_cutaway() {
    local -a answer plain described flags
    local line
    answer=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    case ${answer[1]} in
        files) compset -P '*='; _files; return ;;
        nospace) flags=(-S '') ;;
    esac
    for line in "${(@)answer[2,-1]}"; do
        [[ -n $line ]] || continue
        plain+=("${line%%$'\t'*}")
        described+=("${line/$'\t'/  -- }")
    done
    (( ${#plain} )) && compadd -V cutaway -l "${flags[@]}" -d described -a plain
}

if (( $+functions[compdef] )); then
    [[ $funcstack[1] == _cutaway ]] && _cutaway "$@" || compdef _cutaway cutaway
fi
"""

FISH = r"""# cutaway completion for fish: cutaway completion fish | source

function __cutaway_complete
    set -l before (commandline -opc)
    set -l last (commandline -ct)
    set -l answer ($before[1] __complete $before[2..-1] "$last" 2>/dev/null)
    if test "$answer[1]" = files
        __fish_complete_path (string replace -r '.*=' '' -- "$last")
    else
        printf '%s\n' $answer[2..-1]
    end
end

complete -c cutaway -f -a '(__cutaway_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
