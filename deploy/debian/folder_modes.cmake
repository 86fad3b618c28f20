# CPack runs this before it packs. The modes of CPack's folders come from the umask, on which a package must not depend.
execute_process(COMMAND find ${CPACK_TEMPORARY_INSTALL_DIRECTORY} -type d -exec chmod 755 {} +
  COMMAND_ERROR_IS_FATAL ANY)
