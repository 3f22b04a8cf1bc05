message(FATAL_ERROR "CPM.cmake would be fetched: put a copy of it here")
