if(NOT EXISTS "${ULFM_PREFIX}/lib/libmpi.so.40")
    message(FATAL_ERROR "No OpenMPI with ULFM in ${ULFM_PREFIX}")
endif()
add_library(OpenMPI::MPI SHARED IMPORTED GLOBAL)
set_target_properties(
    OpenMPI::MPI
    PROPERTIES
        IMPORTED_LOCATION "${ULFM_PREFIX}/lib/libmpi.so.40"
        INTERFACE_INCLUDE_DIRECTORIES "${ULFM_PREFIX}/include"
)
