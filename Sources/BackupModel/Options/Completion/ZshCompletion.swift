/// For zsh's own completion system.
struct ZshCompletion {
    let table: CompletionTable

    var script: String {
        let name = "_" + String(table.program.map { $0.isLetter || $0.isNumber ? $0 : "_" })
        var text = """
            #compdef \(table.program)
            # zsh completion for \(table.program), written by '\(table.program) completion zsh'

            # Adds to the caller's flags and valued.
            \(name)_options() {
                local -a common_flags common_valued
                common_flags=(\(described(table.common, valued: false)))
                common_valued=(\(described(table.common, valued: true)))
                case $1 in

            """
        for (command, options) in table.own {
            let isWorking = CommandSet.work.contains(command.asSet)
            text += """
                        \(command.rawValue))
                            flags=(\(isWorking ? "$common_flags " : "")\(described(options, valued: false)))
                            valued=(\(isWorking ? "$common_valued " : "")\(described(options, valued: true)))
                            ;;

                """
        }
        text += """
                    *)
                        flags=(\(described(table.any, valued: false)))
                        valued=(\(described(table.any, valued: true)))
                        ;;
                esac
            }

            # Adds to the caller's values, or names the kind of file.
            \(name)_values() {
                case $1:$2 in

            """
        for row in table.values {
            text +=
                "        \(row.command?.rawValue ?? "*"):\(row.option)) values=(\(row.words.joined(separator: " "))) ;;\n"
        }
        text += """
                    \(patterns(table.directories))) kind=directory ;;
                    \(patterns(table.files))) kind=file ;;
                esac
            }

            \(name)() {
                emulate -L zsh
                setopt extended_glob
                local previous= word= command= parameter= option= number= group= kind=
                local -a flags valued values commands all_flags
                integer i
                commands=(\(table.commands.map { singleQuoted("\($0.rawValue):\($0.summary)") }.joined(separator: " ")))
                all_flags=(\(table.flags.joined(separator: " ")))
                for (( i = 2; i < CURRENT; i++ )); do
                    word=$words[i]
                    if [[ $word == -* ]]; then :
                    elif [[ $previous == --* && $previous != *=* && -z ${all_flags[(r)$previous]} ]]; then :
                    elif [[ -z $command ]]; then command=$word
                    else parameter=$word
                    fi
                    previous=$word
                done

                word=$words[CURRENT]
                if [[ $word == --*=* ]]; then
                    option=${word%%=*}
                    compset -P '*='
                elif [[ $word != -* && $previous == --* && $previous != *=* && -z ${all_flags[(r)$previous]} ]]; then
                    option=$previous
                fi

                if [[ -n $option ]]; then
                    if [[ $option == (#b)--(pg|repo)[0-9]##-(*) ]]; then option=--${match[1]}1-${match[2]}; fi
                    \(name)_values "$command" "$option"
                    case $kind in
                        directory) _files -/ ;;
                        file) _files ;;
                        *) (( ${#values} )) && compadd -- $values ;;
                    esac
                elif [[ $word == -* ]]; then
                    \(name)_options "$command"
                    if [[ $word == (#b)--(no-|)(pg|repo)([0-9]##)-* ]]; then
                        group=$match[2] number=$match[3]
                        flags=(${flags//${group}1-/$group$number-})
                        valued=(${valued//${group}1-/$group$number-})
                    fi
                    _describe -o option flags -- valued -S ''
                elif [[ -z $command ]]; then
                    _describe -t commands command commands
                else
                    case $command in
                        help)
                            if [[ -z $parameter ]]; then
                                _describe -t commands command commands
                            else
                                \(name)_options "$parameter"
                                compadd -- ${${flags%%:*}#--} ${${${valued%%:*}%=}#--}
                            fi
                            ;;
                        completion) compadd -- bash zsh fish ;;
                        tls) [[ -n $parameter ]] || compadd -- init issue renew ;;
                        archive-push|archive-get) _files ;;
                    esac
                fi
            }

            # Called when it was found in fpath, defined when it was read by source.
            if [[ $funcstack[1] == \(name) ]]; then \(name) "$@"; else compdef \(name) \(table.program); fi

            """
        return text
    }

    private func described(_ options: [CompletionTable.Candidate], valued: Bool) -> String {
        options.filter { $0.text.hasSuffix("=") == valued }.map { singleQuoted("\($0.text):\($0.summary)") }
            .joined(separator: " ")
    }

    private func patterns(_ options: [String]) -> String {
        options.map { "*:\($0)" }.joined(separator: "|")
    }
}
