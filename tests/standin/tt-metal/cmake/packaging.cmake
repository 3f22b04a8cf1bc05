include(CMakePackageConfigHelpers)
foreach(pair tt-metalium:metalium-dev tt-nn:ttnn-dev)
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 name)
    list(GET pair 1 component)
    write_basic_package_version_file(
        ${PROJECT_BINARY_DIR}/${name}-config-version.cmake
        VERSION ${PROJECT_VERSION}
        COMPATIBILITY SameMajorVersion
    )
    configure_package_config_file(
        ${CMAKE_CURRENT_LIST_DIR}/packaging.d/${name}-config.cmake.in
        ${PROJECT_BINARY_DIR}/${name}-config.cmake
        INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/${name}
    )
    install(
        FILES ${PROJECT_BINARY_DIR}/${name}-config.cmake ${PROJECT_BINARY_DIR}/${name}-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/${name}
        COMPONENT ${component}
    )
endforeach()
