# What the program says of itself, put where shells and man look. $smallthinker is its path.
set(share "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/share")
function(st_install_said file)
  get_filename_component(folder "${share}/${file}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  message(STATUS "Installing: ${share}/${file}")
  execute_process(COMMAND "${smallthinker}" ${ARGN} OUTPUT_FILE "${share}/${file}"
                  COMMAND_ERROR_IS_FATAL ANY)
endfunction()
st_install_said(man/man1/smallthinker.1 man)
st_install_said(bash-completion/completions/smallthinker completion bash)
st_install_said(zsh/site-functions/_smallthinker completion zsh)
st_install_said(fish/vendor_completions.d/smallthinker.fish completion fish)
