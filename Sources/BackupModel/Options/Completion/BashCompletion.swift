/// For bash 4 and later; needs no other file.
struct BashCompletion {
    let table: CompletionTable

    var script: String {
        let name = "_" + String(table.program.map { $0.isLetter || $0.isNumber ? $0 : "_" })
        var text = """
            # bash completion for \(table.program), written by '\(table.program) completion bash'

            \(name)_options()
            {
                local common='\(words(table.common))'
                case $1 in

            """
        for (command, options) in table.own {
            let isWorking = CommandSet.work.contains(command.asSet)
            text +=
                "        \(command.rawValue)) words=\(isWorking ? "\"$common \(words(options))\"" : "'\(words(options))'") ;;\n"
        }
        text += """
                    *) words='\(words(table.any))' ;;
                esac
            }

            # Values of an option, or what kind of file it names.
            \(name)_values()
            {
                case $1:$2 in

            """
        for row in table.values {
            text +=
                "        \(row.command?.rawValue ?? "*"):\(row.option)) words='\(row.words.joined(separator: " "))' ;;\n"
        }
        text += """
                    \(patterns(table.directories))) kind=-d ;;
                    \(patterns(table.files))) kind=-f ;;
                esac
            }

            \(name)()
            {
                local flags=' \(table.flags.joined(separator: " ")) '
                local commands='\(table.commands.map(\.rawValue).joined(separator: " "))'
                local cur=${COMP_WORDS[COMP_CWORD]} previous= word= command= parameter= option= head= number= words= kind= i
                COMPREPLY=()
                # '=' is a word of its own where bash breaks words at it.
                for ((i = 1; i < COMP_CWORD; i++)); do
                    word=${COMP_WORDS[i]}
                    case $word in
                        = | : | -*) ;;
                        *)
                            if [[ $previous == = || $previous == : ]]; then :
                            elif [[ $previous == --* && $previous != *=* && $flags != *" $previous "* ]]; then :
                            elif [[ -z $command ]]; then command=$word
                            else parameter=$word
                            fi
                            ;;
                    esac
                    previous=$word
                done

                if [[ $cur == = && $previous == --* ]]; then
                    option=$previous cur=
                elif [[ $previous == = && ${COMP_WORDS[COMP_CWORD - 2]} == --* ]]; then
                    option=${COMP_WORDS[COMP_CWORD - 2]}
                elif [[ $cur == --*=* ]]; then
                    option=${cur%%=*} head=${cur%%=*}= cur=${cur#*=}
                elif [[ $cur != -* && $previous == --* && $previous != *=* && $flags != *" $previous "* ]]; then
                    option=$previous
                fi

                if [[ -n $option ]]; then
                    if [[ $option =~ ^--(pg|repo)[0-9]+-(.*)$ ]]; then
                        option=--${BASH_REMATCH[1]}1-${BASH_REMATCH[2]}
                    fi
                    \(name)_values "$command" "$option"
                    if [[ -n $kind ]]; then
                        compopt -o filenames 2> /dev/null
                        mapfile -t COMPREPLY < <(compgen $kind -P "$head" -- "$cur")
                    elif [[ -n $words ]]; then
                        mapfile -t COMPREPLY < <(compgen -P "$head" -W "$words" -- "$cur")
                    fi
                elif [[ $cur == -* ]]; then
                    \(name)_options "$command"
                    if [[ $cur =~ ^--(no-)?(pg|repo)([0-9]+)- ]]; then
                        number=${BASH_REMATCH[3]}
                        words=${words//${BASH_REMATCH[2]}1-/${BASH_REMATCH[2]}$number-}
                    fi
                    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
                    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2> /dev/null; fi
                elif [[ -z $command ]]; then
                    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
                else
                    case $command in
                        help)
                            if [[ -z $parameter ]]; then
                                words=$commands
                            else
                                \(name)_options "$parameter"
                                words=${words//[=]/} words=${words//--/}
                            fi
                            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
                            ;;
                        completion) mapfile -t COMPREPLY < <(compgen -W 'bash zsh fish' -- "$cur") ;;
                        tls)
                            [[ -n $parameter ]] || mapfile -t COMPREPLY < <(compgen -W 'init issue renew' -- "$cur")
                            ;;
                        archive-push | archive-get)
                            compopt -o filenames 2> /dev/null
                            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                            ;;
                    esac
                fi
            }

            complete -F \(name) \(table.program)

            """
        return text
    }

    private func words(_ options: [CompletionTable.Candidate]) -> String {
        options.map(\.text).joined(separator: " ")
    }

    private func patterns(_ options: [String]) -> String {
        options.map { "*:\($0)" }.joined(separator: " | ")
    }
}
