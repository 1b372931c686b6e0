@echo off
rem Starts qlora4j on Windows: scripts\qlora VERB ... in a checkout, bin\qlora VERB ... in the zip.
rem   JAVA_HOME          the JDK or JRE to use (17 or later); else java on the PATH
rem   QLORA4J_JAVA_OPTS  further options for the JVM, such as -Xmx4g
setlocal
set "QLORA4J_HOME=%~dp0.."
set "JAVA_CMD=java"
if defined JAVA_HOME if exist "%JAVA_HOME%\bin\java.exe" set "JAVA_CMD=%JAVA_HOME%\bin\java.exe"
"%JAVA_CMD%" --version >nul 2>nul
if errorlevel 1 (
  echo qlora: Java 17 or later is needed: install a JDK, or set JAVA_HOME to one 1>&2
  exit /b 1
)
if not exist "%QLORA4J_HOME%\pom.xml" (
  set "CLASS_PATH=%QLORA4J_HOME%\lib\*"
  goto start
)
rem A checkout: built once; after a change of the sources run: mvn -DskipTests package
if exist "%QLORA4J_HOME%\trainer\target\lib" goto built
where mvn >nul 2>nul
if errorlevel 1 (
  echo qlora: Maven is needed to build qlora4j from source: put mvn on the PATH, or use the zip 1>&2
  exit /b 1
)
echo building qlora4j ^(first run^)... 1>&2
pushd "%QLORA4J_HOME%"
call mvn -q -B -pl trainer -am -Dmaven.test.skip=true -Dmaven.javadoc.skip=true -Dmaven.source.skip=true -Dqlora4j.skipZip=true package 1>&2
if errorlevel 1 (
  popd
  echo qlora: the build failed 1>&2
  exit /b 1
)
popd
:built
set "CLASS_PATH=%QLORA4J_HOME%\trainer\target\classes;%QLORA4J_HOME%\trainer\target\lib\*"
:start
set "OPT_OUT_TRACKING=true"
if not defined RUST_FLAVOR set "RUST_FLAVOR=cpu"
"%JAVA_CMD%" -XX:+UseSerialGC -Xss4m -Djava.awt.headless=true %QLORA4J_JAVA_OPTS% -cp "%CLASS_PATH%" io.github.qlora4j.trainer.cli.Main %*
exit /b %ERRORLEVEL%
