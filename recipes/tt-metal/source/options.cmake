# Each option that common.sh hands to CMake has its effect: no file of upstream's sets it to something else, and one reads it.
# The cache shows neither: set() without CACHE hides what it has. Third parties may have values of their own. What CMake itself
# reads (CMAKE_…), and what is read before project() (VERSION_…), is seen in what is built (finish_libraries).
# TT_CONDA_OPTIONS: the options' names.
separate_arguments(_tt_conda_options UNIX_COMMAND "$ENV{TT_CONDA_OPTIONS}")

function(_tt_conda_accessed name access value file)
    if(access STREQUAL "READ_ACCESS")
        set_property(GLOBAL APPEND PROPERTY TT_CONDA_READ ${name})
    elseif(NOT value STREQUAL "$CACHE{${name}}" AND NOT file MATCHES "/_deps/|/CPM.cmake$")
        message(FATAL_ERROR "${file} sets ${name} to '${value}', against the recipe's '$CACHE{${name}}'. Edit it in prepare.py.")
    endif()
endfunction()

function(_tt_conda_check)
    get_property(read GLOBAL PROPERTY TT_CONDA_READ)
    set(unread ${ARGN})
    list(FILTER unread EXCLUDE REGEX "^(CMAKE|VERSION)_")
    list(REMOVE_ITEM unread ${read})
    if(unread)
        list(JOIN unread ", " unread)
        message(FATAL_ERROR "The recipe hands over options that nothing reads: ${unread}. Drop them from common.sh.")
    endif()
endfunction()

foreach(_tt_conda_name IN LISTS _tt_conda_options)
    variable_watch(${_tt_conda_name} _tt_conda_accessed)
endforeach()
cmake_language(DEFER CALL _tt_conda_check ${_tt_conda_options})
